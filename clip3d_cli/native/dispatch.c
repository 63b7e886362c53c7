/* Choice of the instruction set: the best one that this CPU has, or the one a caller selects. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#ifdef _OPENMP
#include <omp.h>
#endif

#include "kernels.h"

#ifdef C3D_HAVE_AVX2
static int32_t has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

#ifdef C3D_HAVE_AVX512
static int32_t has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("fma");
}
#endif

#if defined(C3D_HAVE_AMX) && defined(C3D_HAVE_AVX512)
static int32_t has_amx(void) { return has_avx512() && c3d_amx_usable(); }
#endif

static int32_t always(void) { return 1; }

typedef struct {
    const char *name;
    int32_t (*supported)(void);
    const c3d_kernels *kernels[3]; /* by C3D_EXACT, C3D_HIGH, C3D_FAST */
} isa;

/* Without bf16 matrix instructions every precision computes in float32. */
#define ALIKE(kernels) {&kernels, &kernels, &kernels}

/* The best first. "portable" always runs and ends the search; those after it exist for tests and
 * are only used when selected by name. */
static const isa isas[] = {
#if defined(C3D_HAVE_AMX) && defined(C3D_HAVE_AVX512)
    {"amx", has_amx, {&c3d_kernels_avx512, &c3d_kernels_amx_high, &c3d_kernels_amx_fast}},
#endif
#ifdef C3D_HAVE_AVX512
    {"avx512", has_avx512, ALIKE(c3d_kernels_avx512)},
#endif
#ifdef C3D_HAVE_AVX2
    {"avx2", has_avx2, ALIKE(c3d_kernels_avx2)},
#endif
    {"portable", always, ALIKE(c3d_kernels_portable)},
#ifdef C3D_HAVE_WIDE
    {"wide", has_avx2, ALIKE(c3d_kernels_wide)},
#endif
#ifdef C3D_HAVE_AMX_EMULATED
    {"amx-emulated", has_avx2,
     {&c3d_kernels_wide, &c3d_kernels_amx_emulated_high, &c3d_kernels_amx_emulated_fast}},
#endif
};

static _Atomic(const isa *) in_use; /* NULL until it is first needed */

static const isa *current(void)
{
    const isa *chosen = atomic_load(&in_use);
    if (!chosen) {
        /* Two threads may do this at once: both find the same. */
        chosen = isas;
        while (!chosen->supported())
            chosen++;
        atomic_store(&in_use, chosen);
    }
    return chosen;
}

const c3d_kernels *c3d_kernels_for(int32_t precision) { return current()->kernels[precision]; }

int32_t c3d_abi(void) { return C3D_ABI; }

const char *c3d_isa(void) { return current()->name; }

int32_t c3d_use_isa(const char *name)
{
    for (size_t i = 0; name && i < sizeof isas / sizeof *isas; i++)
        if (!strcmp(isas[i].name, name) && isas[i].supported()) {
            atomic_store(&in_use, isas + i);
            return C3D_OK;
        }
    return C3D_BAD_ARGUMENT;
}

int32_t c3d_max_threads(void)
{
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

void c3d_keep_memory(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_MAX, 0);        /* large blocks come from the heap, not from the system */
    mallopt(M_TRIM_THRESHOLD, -1); /* and the heap is never made smaller */
#endif
}
