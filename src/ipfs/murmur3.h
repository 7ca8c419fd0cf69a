/* MurmurHash3 x64 128, its first 64 bits: where a name stands in a sharded folder. Called by unixfs_dir.c. */
#ifndef WA_MURMUR3_H
#define WA_MURMUR3_H
#include <stddef.h>
#include <stdint.h>

/* Seed 0. Read from the most significant bit on, as UnixFS consumes it. */
uint64_t wa__murmur3_64(const void *p, size_t n);

#endif
