/* SPDX-License-Identifier: MIT */
/*
 * Which of how many processes this is, as the launcher says in the environment: work that needs no communication can be
 * shared out without an MPI library. Looked at, first found: Open MPI's mpirun (OMPI_COMM_WORLD_RANK, _SIZE), MPICH's and
 * Intel's (PMI_RANK, PMI_SIZE), srun (SLURM_PROCID, SLURM_STEP_NUM_TASKS: inside a step only, a batch script is one process);
 * beside each, the rank among those of its machine (OMPI_COMM_WORLD_LOCAL_RANK, MPI_LOCALRANKID, SLURM_LOCALID).
 */
#ifndef RN_LAUNCH_H
#define RN_LAUNCH_H

typedef struct rn_launch {
    int rank, size;  /* 0 of 1 when nobody launched several */
    int local;       /* which of this machine's; -1: not told */
    const char *who; /* "mpirun", "srun"; NULL then */
} rn_launch;

/* RN_E_USAGE when the variables are no numbers or do not fit: a wrong guess would pack the same thing twice. */
int rn_launch_find(rn_launch *out);

#endif
