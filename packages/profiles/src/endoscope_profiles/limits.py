"""How large a profile may be before it is refused.

A dump comes from wherever somebody took it. No honest one comes near these numbers, and a
hostile one is told so before it takes the memory of whoever opens it. All together bound a
reader to some 3 GB; an ordinary dump takes about as much as its text.
"""

LINE_BYTES = 4 * 1024 * 1024
"""A stack of 65,535 frames, the deepest that tracemalloc keeps, is a line of 1.3 MB."""

SYMBOL_LINES = 2**21
"""Lines in front of a heap profile: two name a place in the code. One process tells 65,532
Python places apart, and a large program calls its allocator from some 100,000 native ones."""

SYMBOL_BYTES = 256 * 1024 * 1024
"""The bytes of those lines."""

ADDRESSES = 2**20
"""Different addresses in stacks."""

STACKS = 2**22
"""Different stacks, each thread's where threads are told apart. A dump of so many has gigabytes."""

FRAMES = 2**26
"""Frames of all different stacks together. A stack holds a reference to each, of eight bytes."""

AMOUNT = 2**60
"""Live bytes and objects of all stacks together, and the sample interval. No machine has a tenth
of it, and sums and differences of profiles still fit into the 64 bits that formats have."""

THREADS = 2**20
"""Threads that are told apart. A server that starts one for each request gets to thousands."""

MAPPED_FILES = 2**18
"""Executable mappings. Linux allows a process 65,530 of any kind unless told otherwise."""

DECOMPRESSED_BYTES = 8 * 1024**3
"""What a compressed file may hold: 200 times a dump of 50,000 stacks. It takes a minute."""

PPROF_BYTES = 128 * 1024 * 1024
"""A pprof profile, decompressed. It must be in memory as a whole, and its messages take
several times as much; one of 50,000 stacks has 5 MB."""
