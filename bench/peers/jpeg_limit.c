/* SPDX-License-Identifier: MIT */
/*
 * jpeg_limit FULL_DIR SMALL_DIR QUALITY THREADS: the bound of a packer that decodes photographs and encodes small ones.
 * Decodes every JPEG below FULL_DIR to RGB (libjpeg's defaults, as Pillow and pack-lmdb), and encodes, for each, the pixels of
 * its namesake below SMALL_DIR at QUALITY. No resize, no reading, no writing: files and the small images' pixels are in memory
 * before the clock starts. Prints a line of JSON. Build: cc -O2 -pthread jpeg_limit.c -ljpeg
 */
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <jpeglib.h>

typedef struct photo {
    unsigned char *file;   /* the full-size JPEG */
    unsigned char *pixels; /* of the small one, RGB */
    size_t nfile;
    int width, height;
} photo;

static photo *photos;
static size_t nphotos, capacity;
static atomic_size_t next_decode, next_encode;
static int quality;

static void die(const char *what, const char *name)
{
    fprintf(stderr, "jpeg_limit: %s: %s\n", name, what);
    exit(1);
}

static unsigned char *slurp(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (!f || fstat(fileno(f), &st) != 0)
        die("cannot be opened", path);
    unsigned char *data = malloc((size_t)st.st_size + 1);
    *n = (size_t)st.st_size;
    if (!data || fread(data, 1, *n, f) != *n)
        die("cannot be read", path);
    fclose(f);
    return data;
}

/* RGB rows into *rows, which is allocated when it is NULL; each call has a decompressor of its own, as a file has. */
static void decode(const unsigned char *file, size_t n, unsigned char **rows, size_t *room, int *w, int *h)
{
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr err;
    d.err = jpeg_std_error(&err);
    jpeg_create_decompress(&d);
    jpeg_mem_src(&d, file, (unsigned long)n);
    jpeg_read_header(&d, TRUE);
    d.out_color_space = JCS_RGB;
    jpeg_start_decompress(&d);
    size_t need = (size_t)d.output_width * d.output_height * 3;
    if (need > *room) {
        free(*rows);
        *rows = malloc(need);
        *room = need;
        if (!*rows)
            die("no memory", "pixels");
    }
    while (d.output_scanline < d.output_height) {
        JSAMPROW row[16];
        for (unsigned i = 0; i < 16; i++)
            row[i] = *rows + (size_t)(d.output_scanline + i) * d.output_width * 3;
        unsigned left = d.output_height - d.output_scanline;
        jpeg_read_scanlines(&d, row, left < 16 ? left : 16);
    }
    *w = (int)d.output_width;
    *h = (int)d.output_height;
    jpeg_finish_decompress(&d);
    jpeg_destroy_decompress(&d);
}

static void encode(const photo *p)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr err;
    unsigned char *out = NULL;
    unsigned long nout = 0;
    c.err = jpeg_std_error(&err);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &out, &nout);
    c.image_width = (JDIMENSION)p->width;
    c.image_height = (JDIMENSION)p->height;
    c.input_components = 3;
    c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, quality, TRUE);
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < c.image_height) {
        JSAMPROW row = p->pixels + (size_t)c.next_scanline * c.image_width * 3;
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    free(out);
}

static void *decoder(void *unused)
{
    (void)unused;
    unsigned char *rows = NULL;
    size_t room = 0, i;
    int w, h;
    while ((i = atomic_fetch_add(&next_decode, 1)) < nphotos)
        decode(photos[i].file, photos[i].nfile, &rows, &room, &w, &h);
    free(rows);
    return NULL;
}

static void *encoder(void *unused)
{
    (void)unused;
    size_t i;
    while ((i = atomic_fetch_add(&next_encode, 1)) < nphotos)
        encode(&photos[i]);
    return NULL;
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double run(void *(*work)(void *), int threads)
{
    struct timespec a, b;
    pthread_t t[256];
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&t[i], NULL, work, NULL) != 0)
            die("cannot start", "a thread");
    for (int i = 0; i < threads; i++)
        pthread_join(t[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &b);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}

static void load(const char *full, const char *small)
{
    DIR *classes = opendir(full);
    if (!classes)
        die("cannot be opened", full);
    for (struct dirent *c; (c = readdir(classes)) != NULL;) {
        char folder[2048];
        snprintf(folder, sizeof folder, "%s/%s", full, c->d_name);
        DIR *images = c->d_name[0] == '.' ? NULL : opendir(folder);
        if (!images)
            continue;
        for (struct dirent *e; (e = readdir(images)) != NULL;) {
            char path[4096];
            if (e->d_name[0] == '.')
                continue;
            if (nphotos == capacity) {
                capacity = capacity ? 2 * capacity : 1024;
                photos = realloc(photos, capacity * sizeof *photos);
                if (!photos)
                    die("no memory", "list");
            }
            photo *p = &photos[nphotos++];
            memset(p, 0, sizeof *p);
            snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
            p->file = slurp(path, &p->nfile);
            snprintf(path, sizeof path, "%s/%s/%s", small, c->d_name, e->d_name);
            size_t n, room = 0;
            unsigned char *file = slurp(path, &n);
            decode(file, n, &p->pixels, &room, &p->width, &p->height);
            free(file);
        }
        closedir(images);
    }
    closedir(classes);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: jpeg_limit FULL_DIR SMALL_DIR QUALITY THREADS\n");
        return 2;
    }
    int threads = (int)strtol(argv[4], NULL, 10);
    quality = (int)strtol(argv[3], NULL, 10);
    if (threads < 1 || threads > 256 || quality < 1 || quality > 100)
        die("THREADS is 1 to 256, QUALITY 1 to 100", argv[4]);
    load(argv[1], argv[2]);
    if (nphotos == 0)
        die("no images", argv[1]);
    double cpu = cpu_seconds(), decoding = run(decoder, threads), encoding = run(encoder, threads);
    cpu = cpu_seconds() - cpu;
    printf("{\"peer\":\"libjpeg %d, decode and encode alone\",\"work\":\"limit\",\"items\":%zu,\"seconds\":%.6f,"
           "\"cpu_seconds\":%.6f,\"images_per_s_core\":%.2f,\"decode_seconds\":%.6f,\"encode_seconds\":%.6f,"
           "\"threads\":%d}\n",
           JPEG_LIB_VERSION, nphotos, decoding + encoding, cpu, (double)nphotos / cpu, decoding, encoding, threads);
    return 0;
}
