// GCC 12.2's _tile_loadconfig, mended: it tells the compiler of 8 of the 64 bytes that it reads, the rest is optimised
// away, and llama.cpp crashes on processors with AMX. setup.sh includes this before every C++ file of llama.cpp.
#if defined(__GNUC__) && !defined(__clang__) && defined(__AMX_TILE__)
#include <immintrin.h>
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" ::"m"(*(const char(*)[64])(config)))
#endif
