/* SPDX-License-Identifier: MIT */
/* Where the checker keeps what it knows of memory; and names of places in the code. */
#include "emulate_check_shadow.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <map>

#include "cuda_runtime.h"
#include "emulate_check.h"
#include "emulate_check_order.h"

uintptr_t rn_check_base, rn_check_data_low, rn_check_data_high;

static struct {
    std::map<uintptr_t, shadow> device; /* by where it begins */
    shadow data;
    shadow near[256]; /* of device: those that were asked for last */
    bool known;
} all;

/* ---- the module ---- */

static int module_seen(struct dl_phdr_info *m, size_t, void *)
{
    const uintptr_t here = (uintptr_t)&rn_emu;
    uintptr_t low = 0, high = 0;

    for (int i = 0; i < m->dlpi_phnum; i++) {
        const uintptr_t at = m->dlpi_addr + m->dlpi_phdr[i].p_vaddr;
        if (m->dlpi_phdr[i].p_type != PT_LOAD || !(m->dlpi_phdr[i].p_flags & PF_W) || here < at ||
            here >= at + m->dlpi_phdr[i].p_memsz)
            continue;
        low = at;
        high = at + m->dlpi_phdr[i].p_memsz;
    }
    if (!high)
        return 0;
    rn_check_base = m->dlpi_addr;
    rn_check_data_low = low & ~(uintptr_t)1;
    rn_check_data_high = high;
    return 1;
}

static void know(void)
{
    if (all.known)
        return;
    all.known = true;
    dl_iterate_phdr(module_seen, NULL);
    all.data = rn_check_shadow_new(rn_check_data_low, rn_check_data_high);
}

char *rn_check_place(uint32_t code)
{
    Dl_info info;
    char command[4352], line[1024] = "", *out = NULL;

    if (!dladdr((void *)&rn_emu, &info))
        return strdup("?");
    /* The call, not where it returns to. */
    snprintf(command, sizeof command, "addr2line -e '%s' 0x%x 2>/dev/null", info.dli_fname, code - 1);
    FILE *f = popen(command, "r");
    if (!f || !fgets(line, sizeof line, f) || line[0] == '?')
        line[0] = 0;
    if (f)
        pclose(f);
    line[strcspn(line, " \n")] = 0;
    char *from = strstr(line, "kernels/cuda/");
    from = from ? from : strstr(line, "tests/cuda/");
    if (asprintf(&out, "%s%s+0x%x", from ? from : line, line[0] ? ", " : "", code) < 0)
        return strdup("?");
    return out;
}

/* ---- shadows ---- */

shadow rn_check_shadow_new(uintptr_t low, uintptr_t high)
{
    void *p = mmap(NULL, (high - low + 1) / 2 * sizeof(cell), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        fprintf(stderr, "emulated device: no memory to watch %zu bytes with\n", (size_t)(high - low));
        abort();
    }
    return shadow{low, high, (cell *)p, false};
}

void rn_check_shadow_free(shadow *s)
{
    munmap(s->cells, (s->high - s->low + 1) / 2 * sizeof(cell));
    *s = shadow();
}

const shadow *rn_check_shadow_static(uintptr_t at)
{
    return at >= all.data.low && at < all.data.high ? &all.data : NULL;
}

const shadow *rn_check_shadow_device(uintptr_t at)
{
    shadow *near = &all.near[at >> 14 & 255];

    if (at >= near->low && at < near->high)
        return near;
    auto found = all.device.upper_bound(at);
    if (found == all.device.begin() || at >= (--found)->second.high)
        return NULL;
    *near = found->second;
    return near;
}

bool rn_check_beside(uintptr_t at)
{
    const auto above = all.device.upper_bound(at);
    auto below = above;

    if (above != all.device.end() && !above->second.host && at >= above->first / 4096 * 4096)
        return true;
    return below != all.device.begin() && !(--below)->second.host && at < below->second.high / 4096 * 4096 + 8192;
}

const char *rn_check_near(uintptr_t at)
{
    static char text[96];
    auto found = all.device.upper_bound(at);

    if (found == all.device.begin())
        return "before any allocation";
    found--;
    snprintf(text, sizeof text, "%zu bytes behind the end of an allocation of %zu", (size_t)(at - found->second.high),
             (size_t)(found->second.high - found->second.low));
    return text;
}

void rn_check_alloc(const void *p, size_t bytes, bool host)
{
    know();
    shadow s = rn_check_shadow_new((uintptr_t)p, (uintptr_t)p + bytes + (bytes == 0));

    s.host = host;
    all.device[(uintptr_t)p] = s;
}

void rn_check_free(const void *p)
{
    const auto found = all.device.find((uintptr_t)p);

    if (found == all.device.end())
        return;
    rn_check_shadow_free(&found->second);
    all.device.erase(found);
    memset(all.near, 0, sizeof all.near);
}

void rn_check_ops_anew(void)
{
    for (auto &d : all.device)
        for (size_t i = 0; i < (d.second.high - d.second.low + 1) / 2; i++) {
            cell *c = &d.second.cells[i];
            c->write.op = 0; /* the rest stays: it was written */
            c->read[0] = c->read[1] = stamp();
        }
}
