/* The Python frames of the current thread, as numbers that stand for (function, file, line).

   What an index means never changes for the life of the process, also when the code object
   is gone. In a profile it stands among native addresses as an address of its own, in a
   range that no process can map on 64-bit machines (it is not canonical). */
#ifndef ENDOSCOPE_PYTHON_FRAMES_H
#define ENDOSCOPE_PYTHON_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FRAMES_LONGEST_STACK = 128 }; /* as many as jemalloc takes */

#define FRAMES_ADDRESS 0x6a00000000000000u
#define FRAMES_STEP 16u /* jeprof looks callers up at their address minus one */

enum {
    FRAMES_FULL = 1, /* there was no room for another frame in the table */
    FRAMES_CUT,      /* the stack is deeper than what was asked for */
    FRAMES_NONE,     /* the thread runs no Python */
    FRAMES_FIRST,    /* the first index of a real frame */
    FRAMES_MOST = 1 << 16, /* every index is below this */
};

/* The text of one frame: UTF-8 without a terminating zero; `file` is NULL for a marker. */
struct frame_text {
    const char *function;
    const char *file;
    uint32_t function_length;
    uint32_t file_length;
    int line;
};

static inline uintptr_t
frames_address(uint32_t index)
{
    return FRAMES_ADDRESS + (uintptr_t)index * FRAMES_STEP;
}

/* The index that an address of ours stands for. */
static inline uint32_t
frames_index(uintptr_t address)
{
    return (uint32_t)((address - FRAMES_ADDRESS) / FRAMES_STEP);
}

static inline bool
frames_is_address(uintptr_t address)
{
    return address >> 56 == FRAMES_ADDRESS >> 56;
}

/* Take the memory of the table. Call once, with the GIL, before anything else.
   Returns false with errno set. */
bool frames_prepare(void);

/* Write the indexes of the current thread's frames to `stack`, innermost first, at most
   `room` >= 2 of them, and return their number, at least one. The last is FRAMES_CUT if
   there were more. May be called on any thread, with or without the GIL, inside malloc, after a
   fork. `entered_from_c`, if not NULL, receives for each frame whether C called it. */
unsigned frames_walk(uint32_t *stack, unsigned room, bool *entered_from_c);

/* Whether frames_walk() may be called inside malloc in this process. */
bool frames_usable_in_malloc(void);

/* The same for a caller that holds the GIL and is not inside malloc: sees subinterpreters too. */
unsigned frames_walk_with_gil(uint32_t *stack, unsigned room);

/* Whether this thread holds the GIL. Not for callers inside malloc. */
bool frames_gil_is_held(void);

/* Whether there is such a frame; if so `text` says what it means. */
bool frames_text(uint32_t index, struct frame_text *text);

#endif
