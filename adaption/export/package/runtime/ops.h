/* Operations of integer nets exported by adaption. C99; nothing but <stddef.h> and <stdint.h>.
 *
 * Codes are int64_t; a code stands for code * 2^-f / divisor, both as manifest.json says. Blobs hold
 * one sample, channels first, row-major. No operation overflows: the exporter has checked every
 * bound. Where a net scales its sums by numbers that are no powers of two (WRPN), values up to the
 * next codes are float; the compiler must not fuse a multiplication with an addition (ISO C, as
 * -std=c99 asks for, or -ffp-contract=off).
 */
#ifndef ADAPTION_OPS_H
#define ADAPTION_OPS_H

#include <stddef.h>
#include <stdint.h>

enum rounding { HALF_AWAY, HALF_EVEN, FLOOR };

/* A window that slides over rows and columns; `top_*` is the number of its places. */
struct window {
    int64_t channels, height, width;
    int64_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
    int64_t top_h, top_w;
};

/* A convolution; weights are (outputs, channels / group, kernel_h, kernel_w), those of a
 * deconvolution (channels, outputs / group, kernel_h, kernel_w). */
struct convolution {
    struct window w;
    int64_t outputs, dilation_h, dilation_w, group;
};

/* Constants that are spread over a blob: element i meets values[i / inner % count]. */
struct spread {
    const int64_t *values;
    size_t inner, count;
};

struct float_spread {
    const float *values;
    size_t inner, count;
};

/* x / divisor, rounded; divisor is 1 or more. */
int64_t round_divide(int64_t x, int64_t divisor, enum rounding rounding);

/* Codes of x * scale (a power of two), rounded and clamped; NaN gives 0. */
void quantize(const float *x, double scale, enum rounding rounding, int64_t low, int64_t high,
              int64_t *y, size_t count);

/* The same where scale is none: codes of x * factor, which is rounded to float before. */
void quantize_product(const float *x, float factor, enum rounding rounding, int64_t low,
                      int64_t high, int64_t *y, size_t count);

void multiply_add(const int64_t *x, struct spread multiplier, struct spread addend, int64_t *y,
                  size_t count);
void rescale(const int64_t *x, int64_t factor, int64_t divisor, enum rounding rounding,
             int64_t low, int64_t high, int64_t *y, size_t count);
void accumulate(const int64_t *x, int64_t divisor, enum rounding rounding, struct spread addend,
                int64_t half, int wraps, int64_t *y, size_t count);
void slope(const int64_t *x, int64_t positive, struct spread negative, int64_t *y, size_t count);
void clamp(const int64_t *x, int64_t low, int64_t high, int64_t *y, size_t count);
void add(const int64_t *x, int64_t *y, size_t count);      /* y += x */
void multiply(struct spread x, int64_t *y, size_t count);  /* y *= x */
void maximum(const int64_t *x, int64_t *y, size_t count);  /* y = max(x, y) */
void copy(const int64_t *x, int64_t *y, size_t count);
void gather(const int64_t *x, const int32_t *from, int64_t *y, size_t count);
void max_pool(const struct window *w, const int64_t *x, int64_t *y);
void window_sum(const struct window *w, const int64_t *x, int64_t *y);

/* Sums of squares over the first axis, of `outer` values `inner` apart; and over an odd window
 * around each value of three axes, zeros outside. */
void sum_squares(const int64_t *x, int64_t outer, int64_t inner, int64_t *y);
void sum_squares_around(const int64_t *x, int64_t channels, int64_t height, int64_t width,
                        int64_t size_c, int64_t size_h, int64_t size_w, int64_t *y);

/* A falling function of x >= 0, by chords between its nodes: all integers of up to bits + 1 bits,
 * and from there 2^bits between a power of two and the next. */
void interpolate(const int64_t *x, const int64_t *nodes, int bits, int64_t *y, size_t count);

/* float: floats.h says in which order each adds. */
void scale_sums(const int64_t *x, struct float_spread scale, float *y, size_t count);
void dequantize(const int64_t *x, double step, double divisor, float *y, size_t count);
void float_times(const float *x, struct float_spread factor, float *y, size_t count);
void float_plus(const float *x, struct float_spread addend, float *y, size_t count);
void float_slope(const float *x, struct float_spread slopes, float *y, size_t count);
void float_clip(const float *x, float low, float high, float *y, size_t count);
void float_add(const float *x, float *y, size_t count);      /* y += x */
void float_multiply(const float *x, float *y, size_t count); /* y *= x */
void float_maximum(const float *x, float *y, size_t count);  /* y = max(x, y) */
void float_copy(const float *x, float *y, size_t count);
void float_gather(const float *x, const int32_t *from, float *y, size_t count);
void float_mean(const struct window *w, const float *x, struct float_spread sizes, float *y);
void float_max_pool(const struct window *w, const float *x, float *y);
void float_convolve(const struct convolution *c, const float *x, const float *weight, float *y);
void float_inner_product(const float *x, const float *weight, size_t rows, size_t size,
                         size_t outputs, float *y);

/* Functions of one code; the first entry is that of code `first`. */
#define DECLARE_LOOKUP(BITS)                                                                     \
    void lookup_##BITS(const int64_t *x, int64_t first, const int##BITS##_t *table, int64_t *y,  \
                       size_t count);

DECLARE_LOOKUP(8)
DECLARE_LOOKUP(16)
DECLARE_LOOKUP(32)

/* Products with weights of each width. */
#define DECLARE_PRODUCTS(WEIGHT, BITS)                                                           \
    void convolve_##BITS(const struct convolution *c, const int64_t *x, const WEIGHT *weight,    \
                         int64_t *y);                                                            \
    void deconvolve_##BITS(const struct convolution *c, const int64_t *x, const WEIGHT *weight,  \
                           int64_t *y);                                                          \
    void inner_product_##BITS(const int64_t *x, const WEIGHT *weight, size_t rows, size_t size,  \
                              size_t outputs, int is_transposed, int64_t *y);

DECLARE_PRODUCTS(int8_t, 8)
DECLARE_PRODUCTS(int16_t, 16)
DECLARE_PRODUCTS(int32_t, 32)

#endif
