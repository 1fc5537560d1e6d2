/* SPDX-License-Identifier: MIT */
/* pack-lmdb: images out of archives, a tree or a list into one sealed LMDB that Caffe, DALI and rn-train read. */
#include <inttypes.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_launch.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"
#include "data/meta/rn_devkit.h"
#include "data/pack/rn_mean.h"
#include "data/pack/rn_pack.h"
#include "data/store/rn_store.h"

typedef struct settings {
    const char *split, *list, *root, *resize, *encode, *mean;
    int filter, on_bad, check;
    uint64_t seed;
    bool verify, exif_rotate;
    const char *shard;
    int64_t shards;
    const char *src, *out; /* src: tree or RAW_DIR, NULL with --list */
} settings;

/* What this process packs: shards next, next + step, ... below count, each into its folder in OUT; or OUT itself. */
typedef struct plan {
    bool in_folder;
    uint32_t next, step, count; /* count 0: the whole set, in one piece */
    rn_launch launch;
} plan;

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
    (void)sig;
    stop = 1;
}

/* While packing, the first signal is honoured between two images; a second one kills as usual (nothing committed is lost
 * either way). Before and after there is nothing to round off. */
static void catch_signals(bool on)
{
    struct sigaction sa = {.sa_handler = on ? on_signal : SIG_DFL, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
}

/* LMDB takes a batch's pages from malloc and gives them back at its end, images come and go: memory that returns to the
 * kernel every time is zeroed anew every time, which is half of a pack's system time. */
static void keep_freed_memory(void)
{
#ifdef __GLIBC__
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
    mallopt(M_TOP_PAD, 1 << 20);
#endif
}

static bool is_archive(const settings *s)
{
    return s->src && rn_is_file(s->src);
}

static int check_source(settings *s, const rn_opt_result *args)
{
    s->out = args->operands[args->noperands - 1];
    s->src = args->noperands == 2 ? args->operands[0] : NULL;
    if (access(s->out, F_OK) == 0 && !rn_is_dir(s->out))
        return rn_fail(RN_E_USAGE, "%s: a file, where the set's folder is to be; name another", s->out);
    if (s->src && access(s->src, F_OK) == 0 && !rn_is_dir(s->src) && !is_archive(s))
        return rn_fail(RN_E_UNSUPPORTED, "%s: not a regular file: save the archive to a disk first", s->src);
    if (!s->list != !s->root)
        return rn_fail(RN_E_USAGE, "--list FILE and --root DIR go together");
    if (s->list && s->src)
        return rn_fail(RN_E_USAGE, "give either SRC or --list FILE --root DIR, not both");
    if (s->list && s->split)
        return rn_fail(RN_E_USAGE, "--split is for a folder of archives, not for a list");
    if (!s->list && !s->src)
        return rn_fail(RN_E_USAGE, "two operands are needed: SRC OUT.lmdb (or --list FILE --root DIR OUT.lmdb)");
    if (s->split && strcmp(s->split, "train") != 0 && strcmp(s->split, "val") != 0)
        return rn_fail(RN_E_USAGE, "--split %s: accepted are train, val", s->split);
    if (s->verify && !s->split && !is_archive(s))
        return rn_fail(RN_E_USAGE, "--verify is for archives: give --split train or --split val");
    rn_raw_set raw;
    if (s->src && !s->split && !is_archive(s) && rn_raw_find(s->src, &raw) == 0 && (raw.train[0] || raw.val[0]))
        return rn_fail(RN_E_USAGE, "%s: holds ILSVRC2012's archives: add --split train or --split val", s->src);
    return RN_OK;
}

static int make_opts(const settings *s, bool shuffle, int jobs, rn_pack_opts *o)
{
    *o = (rn_pack_opts){.shuffle = shuffle, .seed = s->seed, .skip_bad = s->on_bad == 1, .jobs = jobs, .stop = &stop};
    o->convert.filter = (enum rn_filter)s->filter;
    o->convert.check_decode = s->check == 1;
    o->convert.exif_rotate = s->exif_rotate;
    RN_TRY(rn_convert_parse_size(s->resize, &o->convert));
    const char *encode = s->encode ? s->encode : o->convert.size == RN_SIZE_NONE ? "keep" : "jpeg:95";
    RN_TRY(rn_convert_parse_encode(encode, &o->convert));
    return rn_convert_check(&o->convert);
}

static int open_inputs(const settings *s, rn_inputs **in)
{
    if (s->list)
        return rn_inputs_open_list(s->list, s->root, in);
    if (is_archive(s)) { /* unpacked, where it is compressed, on the disk that the set is for */
        char dir[4096];
        const char *slash = strrchr(s->out, '/');
        snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - s->out + 1) : 1, slash ? s->out : ".");
        return rn_inputs_open_archive(s->src, s->split, dir, s->verify, in);
    }
    if (s->split)
        return rn_inputs_open_raw(s->src, s->split, s->verify, in);
    return rn_inputs_open_tree(s->src, in);
}

/* Messages of several processes come out mixed: each names its rank. */
static void name_rank(const rn_launch *l)
{
    static char tool[48];
    snprintf(tool, sizeof tool, "pack-lmdb (rank %d of %d)", l->rank, l->size);
    rn_log_init(tool, rn_log_level());
}

/* Which shards are this process's: those asked for by name, else its share among the ranks. Never chosen silently. */
static int make_plan(const settings *s, plan *p)
{
    rn_buf list = {0};
    int rc;
    *p = (plan){.step = 1};
    RN_TRY(rn_launch_find(&p->launch));
    const rn_launch *l = &p->launch;
    if (s->shard && s->shards)
        return rn_fail(RN_E_USAGE, "give either --shard i/n (one of them) or --shards N (all of them), not both");
    if (l->size > 1)
        name_rank(l);
    if (s->shard) {
        rn_shard one;
        RN_TRY(rn_shard_parse(s->shard, &one));
        p->next = one.index;
        p->step = p->count = one.count;
        if (l->size > 1)
            rn_info("--shard %s is given: every rank that %s started packs that one into %s", s->shard, l->who, s->out);
    } else if (s->shards || l->size > 1) {
        p->in_folder = true;
        p->next = (uint32_t)l->rank;
        p->step = (uint32_t)l->size;
        p->count = s->shards ? (uint32_t)s->shards : (uint32_t)l->size;
        RN_TRY(rn_shard_check_folder(s->out, p->count));
    }
    if (s->mean && (s->shard || l->size > 1))
        return rn_fail(RN_E_USAGE, "--mean is of the whole set: when all shards are packed, run the same command with "
                                   "--shards N --mean in one process; what is packed is left alone");
    if (!p->in_folder || l->size == 1)
        return RN_OK;
    for (uint32_t k = p->next; k < p->count; k += p->step)
        RN_GO(rn_buf_printf(&list, "%s%" PRIu32, k > p->next ? ", " : "", k));
    rn_info("started by %s: packing %s%s of %" PRIu32 " into %s", l->who,
            !list.n                        ? "no shard"
            : p->next + p->step < p->count ? "shards "
                                           : "shard ",
            list.n ? (char *)list.data : "", p->count, s->out);
    rc = RN_OK;
out:
    rn_buf_free(&list);
    return rc;
}

/* One set, whole or a shard, into `dir`. The inputs are opened when they are first needed. */
static int pack_one(const settings *s, const rn_pack_opts *o, const char *dir, const char *const *files, rn_inputs **in,
                    rn_pack_result *r)
{
    *r = (rn_pack_result){0};
    char kind[32];
    snprintf(kind, sizeof kind, "%s%s%s", is_archive(s) ? "archive" : "raw", s->split ? "-" : "",
             s->split ? s->split : "");
    if (!s->verify && rn_pack_is_done(dir, o, kind, files, r))
        return RN_OK;
    if (!*in) {
        RN_TRY(open_inputs(s, in));
        if ((*in)->passed_over)
            rn_warn("%s: passed over %" PRIu32 " entries that are no files named .jpeg, .jpg or .png", s->src,
                    (*in)->passed_over);
    }
    catch_signals(true);
    int rc = rn_pack_run(*in, o, dir, r);
    catch_signals(false);
    RN_TRY(rc);
    if (!r->already)
        return rn_pack_log(dir, files, o, r);
    if (rn_pack_log_files(dir, files) < 0) /* a set on a read-only file system is as good as any */
        rn_verbose("%s", rn_error_text());
    return RN_OK;
}

static int write_mean(const settings *s, int jobs)
{
    rn_store *store = NULL;
    rn_mean m = {0};
    int rc;
    RN_GO(rn_store_open(s->out, 0, &store));
    RN_GO(rn_mean_compute(store, jobs, &m));
    RN_GO(rn_mean_write(&m, s->mean));
    rn_info("%s: mean of %" PRIu32 " images, %dx%dx%d; by channel:", s->mean, rn_store_count(store), m.channels,
            m.height, m.width);
    for (int c = 0; c < m.channels && c < 4; c++)
        rn_info("  %s %.6f", m.channels == 3 ? (const char *const[]){"blue ", "green", "red  "}[c] : "gray",
                m.channel[c]);
out:
    free(m.data);
    rn_store_close(store);
    return rc;
}

static void print_result(const char *dir, const rn_shard *shard, const rn_pack_result *r, bool json)
{
    char which[48] = "";
    if (json) {
        if (shard->count)
            snprintf(which, sizeof which, ",\"shard\":%" PRIu32 ",\"shards\":%" PRIu32, shard->index, shard->count);
        printf("{\"records\":%" PRIu64 ",\"skipped\":%" PRIu64 ",\"bytes\":%" PRIu64
               ",\"seal\":\"%s\",\"seconds\":%.3f,\"already\":%s%s}\n",
               r->records, r->skipped, r->bytes, r->seal, r->seconds, r->already ? "true" : "false", which);
        return;
    }
    if (shard->count)
        snprintf(which, sizeof which, "shard %" PRIu32 " of %" PRIu32 ", ", shard->index, shard->count);
    printf("%s: %s%s%" PRIu64 " records, %" PRIu64 " skipped, %" PRIu64 " bytes, seal %s\n", dir,
           r->already ? "already packed: " : "", which, r->records, r->skipped, r->bytes, r->seal);
    if (r->skipped)
        rn_warn("%" PRIu64 " bad images were left out: %s/skipped.txt says why", r->skipped, dir);
}

/* Every result is printed when it stands: whoever reads them knows how far a long run got. */
static int pack_all(const settings *s, rn_pack_opts *o, plan *p, const char *const *files, bool json)
{
    char dir[4096];
    rn_pack_result r;
    rn_inputs *in = NULL;
    int rc = RN_OK;
    do {
        if (p->in_folder && p->next >= p->count)
            break;
        o->shard = (rn_shard){.index = p->count ? p->next : 0, .count = p->count};
        if (p->in_folder)
            RN_GO(rn_shard_path(dir, sizeof dir, s->out, &o->shard));
        const char *to = p->in_folder ? dir : s->out;
        RN_GO(pack_one(s, o, to, files, &in, &r));
        print_result(to, &o->shard, &r, json);
        fflush(stdout);
        p->next += p->step;
    } while (p->next < p->count);
out:
    rn_inputs_close(in);
    return rc;
}

static int run(settings *s, const rn_opt_spec *spec, const rn_opt_result *args)
{
    rn_pack_opts o;
    plan p;
    rn_raw_set raw = {0};
    int jobs = rn_jobs(args->common.jobs);
    RN_TRY(check_source(s, args));
    RN_TRY(make_opts(s, rn_opt_seen(spec, args, "shuffle"), jobs, &o));
    RN_TRY(make_plan(s, &p));
    if (s->split && !is_archive(s))
        RN_TRY(rn_raw_find(s->src, &raw));
    else if (is_archive(s) && strlen(s->src) < sizeof raw.train)
        snprintf(strcmp(s->split ? s->split : "", "val") == 0 ? raw.val : raw.train, sizeof raw.train, "%s", s->src);
    const char *all[] = {strcmp(s->split ? s->split : "", "val") == 0 ? raw.val : raw.train, raw.devkit, raw.md5sums};
    const char *files[4] = {NULL};
    for (size_t i = 0, n = 0; i < 3; i++)
        if (all[i][0])
            files[n++] = all[i];
    RN_TRY(pack_all(s, &o, &p, files, args->common.json));
    return s->mean ? write_mean(s, jobs) : RN_OK;
}

int main(int argc, char **argv)
{
    static const char *const bad_words[] = {"fail", "skip", NULL}, *const check_words[] = {"markers", "decode", NULL};
    settings s = {.resize = "none", .filter = RN_FILTER_BILINEAR};
    const rn_opt rows[] = {
        {RN_OPT_GROUP, "What is packed", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_TEXT, "split", "train|val", &s.split,
         "SRC holds ILSVRC2012's archives: pack this one straight from the tar, without extracting it. Of an archive "
         "of "
         "class folders: those below a folder of this name (for val also test), or CIFAR's batches.",
         NULL, 0, 0},
        {RN_OPT_TEXT, "list", "FILE", &s.list, "Lines \"path label\" as Caffe has them, in the list's order.", NULL, 0,
         0},
        {RN_OPT_TEXT, "root", "DIR", &s.root, "The folder in which the list's paths begin.", NULL, 0, 0},
        {RN_OPT_FLAG, "verify", NULL, &s.verify,
         "With --split: compute the archives' MD5 first (one more pass); a wrong one fails. Expected is what MD5SUMS "
         "says, else what is published.",
         NULL, 0, 0},
        {RN_OPT_GROUP, "What is stored", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_TEXT, "resize", "SIZE", &s.resize, "none, short:N (short side N), exact:WxH (warped, as in Caffe).",
         NULL, 0, 0},
        {RN_OPT_ENUM, "filter", "NAME", &s.filter, "How to resize; opencv-linear is Caffe's.", rn_filter_names, 0, 0},
        {RN_OPT_FLAG, "exif-rotate", NULL, &s.exif_rotate,
         "Turn the pixels as their EXIF orientation says, before the resize; without it EXIF is ignored, as in "
         "torchvision.",
         NULL, 0, 0},
        {RN_OPT_TEXT, "encode", "FORM", &s.encode,
         "keep (the file's own bytes), jpeg:QUALITY (libjpeg-turbo, baseline, 4:2:0), or raw (planar BGR). Default: "
         "keep, or "
         "jpeg:95 with --resize.",
         NULL, 0, 0},
        {RN_OPT_UINT, "shuffle", "SEED", &s.seed,
         "Shuffle the key order with this seed; without it the order is by path (or the list's).", NULL, 0, 0},
        {RN_OPT_TEXT, "mean", "FILE", &s.mean, "Also write the mean image (Caffe's binaryproto); needs equal sizes.",
         NULL, 0, 0},
        {RN_OPT_GROUP, "In pieces", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_TEXT, "shard", "I/N", &s.shard,
         "Pack only piece I (0 to N-1) of N equal ones, into OUT.lmdb itself: a set like any other.", NULL, 0, 0},
        {RN_OPT_INT, "shards", "N", &s.shards,
         "Pack N pieces into the folders OUT.lmdb/00000-of-0000N and so on. Under mpirun or srun every rank packs its "
         "share of "
         "them; N is then the number of ranks if it is not given.",
         NULL, 0, RN_SHARDS_MAX},
        {RN_OPT_GROUP, "Bad images", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_ENUM, "on-bad", "WHAT", &s.on_bad, "fail at the first one, or skip, list and count them.", bad_words, 0,
         0},
        {RN_OPT_ENUM, "check", "HOW", &s.check,
         "With --encode keep: look at markers (readable header, an end), or decode every image.", check_words, 0, 0},
    };
    const rn_opt_spec spec = {
        .tool = "pack-lmdb",
        .synopsis = "SRC OUT.lmdb\n--list FILE --root DIR OUT.lmdb",
        .summary =
            "Packs images into one sealed LMDB in Caffe's form. SRC is a tree <class>/<image>, a folder of "
            "ILSVRC2012's archives with --split, or one tar or tar.gz of class folders or of CIFAR's binary form.",
        .epilog =
            "The same input and options give the same bytes at any --jobs. A pack that was interrupted in any way goes "
            "on\n"
            "when the same command runs again; a finished one is left alone. seal.json in OUT.lmdb is written last.\n"
            "\n"
            "With --split and --shuffle the archive is read at random: fine on an SSD or from memory, slow on a "
            "single\n"
            "hard disk (about 10 ms an image); extract first, or leave --shuffle out and let rn-train shuffle.\n"
            "\n"
            "Pieces together hold the very records of the one set. OUT.lmdb with all of them inside is read as one by\n"
            "rn-train and ilsvrc-verify; each alone is an LMDB that any program reads.\n"
            "\n"
            "Examples:\n"
            "  pack-lmdb raw --split train --shuffle 2012 train.lmdb\n"
            "  pack-lmdb raw --split val val.lmdb\n"
            "  pack-lmdb imagenette2-320.tgz --split train imagenette.lmdb\n"
            "  pack-lmdb cifar-10-binary.tar.gz --split val --encode raw cifar10-val.lmdb\n"
            "  pack-lmdb tree/train small.lmdb --resize short:256 --encode jpeg:95\n"
            "  mpirun -n 8 pack-lmdb raw --split train --shuffle 2012 --shards 64 train.lmdb\n"
            "  pack-lmdb --list val.txt --root images caffe.lmdb --resize exact:256x256 --filter opencv-linear "
            "--encode raw \\\n"
            "      --mean mean.binaryproto\n"
            "Exit status: 0 done (or was already), 1 failed, 2 misuse, 3 nothing to pack.",
        .opts = rows,
        .nopts = sizeof rows / sizeof *rows,
        .min_operands = 1,
        .max_operands = 2,
    };
    rn_opt_result args = {0};
    keep_freed_memory();
    int rc = rn_opt_parse(&spec, argc, argv, &args);
    if (rc == RN_OK)
        rc = run(&s, &spec, &args);
    return rn_opt_end(&args, rc);
}
