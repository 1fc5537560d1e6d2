/* SPDX-License-Identifier: MIT */
#include "base/rn_launch.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"

enum { SIZE_MAX_SANE = 1 << 20 };

int rn_launch_find(rn_launch *out)
{
    static const struct {
        const char *rank, *size, *local, *who;
    } known[] = {{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "mpirun"},
                 {"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "mpirun"},
                 {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "srun"}};
    *out = (rn_launch){.rank = 0, .size = 1, .local = -1};
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++) {
        const char *rank = getenv(known[i].rank), *size = getenv(known[i].size);
        const char *local = getenv(known[i].local);
        int64_t r, n, l;
        if (!rank || !size)
            continue;
        if (rn_parse_i64(size, 1, SIZE_MAX_SANE, &n) < 0 || rn_parse_i64(rank, 0, n - 1, &r) < 0)
            return rn_fail(RN_E_USAGE,
                           "the environment says %s=%s and %s=%s, which is no rank among so many; unset both",
                           known[i].rank, rank, known[i].size, size);
        *out = (rn_launch){.rank = (int)r, .size = (int)n, .local = -1, .who = known[i].who};
        if (local && rn_parse_i64(local, 0, n - 1, &l) == RN_OK)
            out->local = (int)l;
        return RN_OK;
    }
    return RN_OK;
}
