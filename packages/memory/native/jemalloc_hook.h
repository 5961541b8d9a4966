/* The hook that jemalloc asks for the stack of each sample it takes. */
#ifndef ENDOSCOPE_JEMALLOC_HOOK_H
#define ENDOSCOPE_JEMALLOC_HOOK_H

#include <stdint.h>

#include "mallctl.h"

enum hook_stacks {
    HOOK_NATIVE, /* jemalloc's own unwinder */
    HOOK_PYTHON, /* Python's frames and nothing else; does not unwind */
    HOOK_MIXED,  /* jemalloc's unwinder, with Python's frames in the interpreter's place */
};

/* Have this jemalloc record such stacks. Returns an errno: ENOENT from a jemalloc that has no
   such hook (before 5.3.0) or was started without profiling. */
int hook_install(mallctl_function *mallctl, enum hook_stacks stacks);

/* Samples that passed the hook so far, and the nanoseconds that it took over them. */
uint64_t hook_taken(void);
uint64_t hook_nanoseconds(void);

/* Never look at Python again, since it is about to end. Waits for those who look just now. */
void hook_close(void);

#endif
