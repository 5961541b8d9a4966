/* Memory of our own, straight from the kernel.

   Whatever runs inside an allocator must not allocate from it. Pages are private and
   zero; a page that is never touched costs nothing. */
#ifndef ENDOSCOPE_PAGES_H
#define ENDOSCOPE_PAGES_H

#include <stddef.h>
#include <sys/mman.h>

/* Zeroed memory of `size` bytes, or NULL. */
static inline void *
pages_take(size_t size)
{
    void *start = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return start == MAP_FAILED ? NULL : start;
}

static inline void
pages_give_back(void *start, size_t size)
{
    if (start != NULL) {
        munmap(start, size);
    }
}

#endif
