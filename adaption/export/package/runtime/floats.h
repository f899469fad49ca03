/* float32 operations; a program that has layers in float32 includes this. Each is one IEEE operation
 * per value, or several in the order written here, rounded after each. Exact arithmetic, and ONNX
 * of style integer, do the same, so that every bit is equal. Compilers must keep to it: no
 * -ffast-math, and -ffp-contract=off, since a multiplication that is fused with an addition is not
 * rounded in between. The net's file asks GCC and Clang for that itself; others may need a flag.
 */
#include <float.h>

#ifdef __FAST_MATH__
#error "compile without -ffast-math: float32 values, and codes made of them, would change"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

/* Values of a longer type between operations would round otherwise: x87 has them, SSE has not. */
typedef char adaption_floats_are_rounded_at_once[FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 16 ? 1 : -1];

static inline float at_least_float(float x, float low)
{
    return x < low ? low : x;
}

static inline float at_most_float(float x, float high)
{
    return x > high ? high : x;
}

static inline float greatest_float(float x, float y)
{
    return x > y ? x : y;
}

/* A sum of a window: each column from its top, then the columns from the left. */
static inline float float_total(const struct window *w, const float *plane, ptrdiff_t row,
                                ptrdiff_t column)
{
    ptrdiff_t top, bottom, left, right;
    on_image(row, w->stride_h, w->pad_h, w->kernel_h, w->height, &top, &bottom);
    on_image(column, w->stride_w, w->pad_w, w->kernel_w, w->width, &left, &right);
    float total = 0;
    for (ptrdiff_t j = left; j < right; ++j) {
        float sum = 0;
        for (ptrdiff_t i = top; i < bottom; ++i)
            sum += plane[i * w->width + j];
        total += sum;
    }
    return total;
}

/* One place of a convolution: products of two floats are exact in double, and their sum is rounded
 * once. x is the first channel of the group, filter the output's. */
static inline float float_convolve(const struct convolution *c, const float *x,
                                   const float *filter, ptrdiff_t row, ptrdiff_t column)
{
    const struct window *const w = &c->w;
    double total = 0;
    for (ptrdiff_t k = 0; k < c->channels; ++k)
        for (ptrdiff_t i = 0; i < w->kernel_h; ++i) {
            const ptrdiff_t r = row * w->stride_h - w->pad_h + i * c->dilation_h;
            if (r < 0 || r >= w->height)
                continue;
            for (ptrdiff_t j = 0; j < w->kernel_w; ++j) {
                const ptrdiff_t s = column * w->stride_w - w->pad_w + j * c->dilation_w;
                if (s >= 0 && s < w->width)
                    total += (double)x[(k * w->height + r) * w->width + s]
                           * (double)filter[k * c->next + i * w->kernel_w + j];
            }
        }
    return (float)total;
}

/* One inner product, likewise. */
static inline float float_dot(const float *x, const float *weight, ptrdiff_t size)
{
    double total = 0;
    for (ptrdiff_t k = 0; k < size; ++k)
        total += (double)x[k] * (double)weight[k];
    return (float)total;
}
