/* Operations of integer nets exported by adaption. C99, nothing but <stddef.h> and <stdint.h>.
 *
 * A code stands for code * 2^-f / divisor, as manifest.json says. Blobs hold one sample, channels
 * first, row-major. No operation overflows: the exporter has checked every bound.
 */
#ifndef ADAPTION_OPS_H
#define ADAPTION_OPS_H

#include <stddef.h>
#include <stdint.h>

/* What each array of constants, and the memory of values, is declared with: for a section of its
 * own, as in -DADAPTION_CONSTANT='__attribute__((section(".qspi")))'. */
#ifndef ADAPTION_CONSTANT
#define ADAPTION_CONSTANT
#endif
#ifndef ADAPTION_MEMORY
#define ADAPTION_MEMORY
#endif

/* C leaves open what >> does to numbers below 0; here it has to keep the sign, as compilers do. */
typedef char adaption_shifts_keep_the_sign[(-1 >> 1) == -1 ? 1 : -1];

/* The bottom of a convolution, or of windows, and how these slide over rows and columns. */
struct window {
    ptrdiff_t height, width;
    ptrdiff_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
};

/* A convolution: `channels` of a group; `next` is the distance between the filters of two of them,
 * `top_w` the number of columns of the top. */
struct convolution {
    struct window w;
    ptrdiff_t dilation_h, dilation_w, channels, next, top_w;
};

/* The part of a window along one axis that lies on the image: from `*first` up to `*end`. */
static inline void on_image(ptrdiff_t place, ptrdiff_t stride, ptrdiff_t pad, ptrdiff_t kernel,
                            ptrdiff_t size, ptrdiff_t *first, ptrdiff_t *end)
{
    const ptrdiff_t start = place * stride - pad;
    *first = start < 0 ? 0 : start;
    *end = start + kernel > size ? size : start + kernel;
}

#define INT int32_t
#define NAME(op) op##_32
#include "scalars.h"

#define INT int64_t
#define NAME(op) op##_64
#include "scalars.h"

/* Codes of x * scale, a power of two, rounded and clamped; NaN gives 0. */
#define REAL float
#define NAME(op) op
#include "quantize.h"

#define REAL double
#define NAME(op) op##_double
#include "quantize.h"

/* A falling function of x >= 0, by chords between its nodes: all integers of up to bits + 1 bits,
 * and from there 2^bits between a power of two and the next. */
#define DEFINE_INTERPOLATE(BITS)                                                                 \
    static inline int64_t interpolate_##BITS(int64_t x, const int##BITS##_t *nodes, int bits)    \
    {                                                                                            \
        int64_t leading = x;                                                                     \
        int shift = 0;                                                                           \
        for (; leading >> (bits + 1); leading >>= 1)                                             \
            ++shift;                                                                             \
        const int##BITS##_t *const node = nodes + ((ptrdiff_t)shift << bits) + (ptrdiff_t)leading; \
        const int64_t rest = x - (leading << shift), fall = (int64_t)node[0] - node[1];          \
        return node[0] - ((fall * rest) >> shift);                                               \
    }

DEFINE_INTERPOLATE(32)
DEFINE_INTERPOLATE(64)

#endif
