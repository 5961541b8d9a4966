/* jemalloc's mallctl(), as its manual has it. Which one is meant is for the caller to say:
   it is found at run time, and may have a prefix. */
#ifndef ENDOSCOPE_MALLCTL_H
#define ENDOSCOPE_MALLCTL_H

#include <stddef.h>

typedef int mallctl_function(const char *name, void *old, size_t *old_size, void *new,
                             size_t new_size);

#endif
