/* Samples what Python takes from its own allocators, the `mem` and `obj` domains of PEP 445.

   Both are called with the GIL held, so that one countdown serves all threads. Once
   installed the hooks stay for the life of the process: blocks that were sampled must be
   seen when they are freed, and somebody else may have put a hook of theirs on top. */
#ifndef ENDOSCOPE_ALLOCATOR_SAMPLER_H
#define ENDOSCOPE_ALLOCATOR_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mallctl.h"

struct sampler_options {
    unsigned lg_interval;     /* the mean number of bytes between two samples, as a logarithm */
    double budget;            /* the share of the CPU time that sampling may take; 0 = any */
    mallctl_function *others; /* leave out what this jemalloc serves; or NULL */
};

struct sampler_state {
    bool sampling;
    bool attached;         /* the hooks are called; false if somebody has removed them */
    unsigned lg_interval;  /* as it is now, adapted to the budget */
    uint64_t taken;        /* samples, since the process began */
    uint64_t nanoseconds;  /* that they took */
};

enum sampler_refusal {
    SAMPLER_STARTED,
    SAMPLER_NO_MEMORY,
    SAMPLER_OWN_GIL,  /* an interpreter with a GIL of its own exists */
    SAMPLER_SHUT_OUT, /* another tool's allocator does not call ours, or calls it twice */
};

/* Begin to sample, or go on with other options. The samples that there are stay. */
enum sampler_refusal sampler_start(const struct sampler_options *options);

/* Cease to sample. Frees are still followed. */
void sampler_stop(void);

/* Throw all samples away. */
void sampler_discard(void);

struct sampler_state sampler_state(void);

#endif
