/* The build ids of the libraries and the executable that are loaded.

   They are read from memory and not from the files: what runs is what counts, and an upgrade
   may have put another build in its file's place since. */
#ifndef ENDOSCOPE_BUILD_IDS_H
#define ENDOSCOPE_BUILD_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BUILD_ID_MOST = 64 }; /* bytes; the linkers write 8 to 32 */

struct build_id {
    size_t size;
    unsigned char bytes[BUILD_ID_MOST];
};

/* Find the GNU build id of what `address` lies in; false if that has none, or is nothing that
   is loaded. Takes no memory. */
bool build_id_of(uintptr_t address, struct build_id *id);

#endif
