#include "ops.h"

int64_t round_divide(int64_t x, int64_t divisor, enum rounding rounding)
{
    if (rounding == HALF_AWAY) {
        const int64_t magnitude = x < 0 ? -x : x;
        const int64_t rounded = (2 * magnitude + divisor) / (2 * divisor);
        return x < 0 ? -rounded : rounded;
    }
    int64_t low = x / divisor;
    if (x % divisor < 0)
        --low;
    if (rounding == HALF_EVEN) {
        const int64_t rest = 2 * (x - low * divisor);
        if (rest > divisor || (rest == divisor && low % 2 != 0))
            ++low;
    }
    return low;
}

static int64_t limited(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* The code of a scaled value; NaN gives 0. */
static int64_t code_of(double scaled, enum rounding rounding, int64_t low, int64_t high)
{
    if (scaled != scaled)
        scaled = 0;
    if (scaled < (double)low - 1)
        scaled = (double)low - 1;
    if (scaled > (double)high + 1)
        scaled = (double)high + 1;
    int64_t code = (int64_t)scaled; /* toward zero */
    const double rest = scaled - (double)code;
    if (rounding == HALF_AWAY)
        code += (rest >= 0.5) - (rest <= -0.5);
    else if (rounding == FLOOR)
        code -= rest < 0;
    else
        code += (rest > 0.5 || (rest == 0.5 && code % 2 != 0))
              - (rest < -0.5 || (rest == -0.5 && code % 2 != 0));
    return limited(code, low, high);
}

void quantize(const float *x, double scale, enum rounding rounding, int64_t low, int64_t high,
              int64_t *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] = code_of((double)x[i] * scale /* exact */, rounding, low, high);
}

void quantize_product(const float *x, float factor, enum rounding rounding, int64_t low,
                      int64_t high, int64_t *y, size_t count)
{
    for (size_t i = 0; i < count; ++i) {
        const float scaled = x[i] * factor;
        y[i] = code_of(scaled, rounding, low, high);
    }
}

static int64_t at(const struct spread *s, size_t i)
{
    return s->values[i / s->inner % s->count];
}

void multiply_add(const int64_t *x, struct spread multiplier, struct spread addend, int64_t *y,
                  size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] = x[i] * at(&multiplier, i) + at(&addend, i);
}

void rescale(const int64_t *x, int64_t factor, int64_t divisor, enum rounding rounding,
             int64_t low, int64_t high, int64_t *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] = limited(round_divide(x[i] * factor, divisor, rounding), low, high);
}

void accumulate(const int64_t *x, int64_t divisor, enum rounding rounding, struct spread addend,
                int64_t half, int wraps, int64_t *y, size_t count)
{
    for (size_t i = 0; i < count; ++i) {
        const int64_t total = round_divide(x[i], divisor, rounding) + at(&addend, i);
        if (wraps) {
            int64_t rest = (total + half) % (2 * half);
            if (rest < 0)
                rest += 2 * half;
            y[i] = rest - half;
        } else {
            y[i] = limited(total, -half, half - 1);
        }
    }
}

void slope(const int64_t *x, int64_t positive, struct spread negative, int64_t *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] = x[i] * (x[i] > 0 ? positive : at(&negative, i));
}

void clamp(const int64_t *x, int64_t low, int64_t high, int64_t *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] = limited(x[i], low, high);
}

void add(const int64_t *x, int64_t *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] += x[i];
}

void multiply(struct spread x, int64_t *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] *= at(&x, i);
}

void maximum(const int64_t *x, int64_t *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        if (x[i] > y[i])
            y[i] = x[i];
}

void copy(const int64_t *x, int64_t *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] = x[i];
}

void gather(const int64_t *x, const int32_t *from, int64_t *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] = x[from[i]];
}

/* The part of a window along one axis that lies on the image: from `*first` up to `*end`. */
static void on_image(int64_t place, int64_t stride, int64_t pad, int64_t kernel, int64_t size,
                     int64_t *first, int64_t *end)
{
    const int64_t start = place * stride - pad;
    *first = start < 0 ? 0 : start;
    *end = start + kernel > size ? size : start + kernel;
}

static void pool(const struct window *w, const int64_t *x, int64_t *y, int sums)
{
    for (int64_t c = 0; c < w->channels; ++c) {
        const int64_t *const plane = x + c * w->height * w->width;
        for (int64_t row = 0; row < w->top_h; ++row)
            for (int64_t column = 0; column < w->top_w; ++column) {
                int64_t top, bottom, left, right, total = 0;
                on_image(row, w->stride_h, w->pad_h, w->kernel_h, w->height, &top, &bottom);
                on_image(column, w->stride_w, w->pad_w, w->kernel_w, w->width, &left, &right);
                int64_t greatest = plane[top * w->width + left];
                for (int64_t i = top; i < bottom; ++i)
                    for (int64_t j = left; j < right; ++j) {
                        const int64_t value = plane[i * w->width + j];
                        total += value;
                        if (value > greatest)
                            greatest = value;
                    }
                *y++ = sums ? total : greatest;
            }
    }
}

void max_pool(const struct window *w, const int64_t *x, int64_t *y)
{
    pool(w, x, y, 0);
}

void window_sum(const struct window *w, const int64_t *x, int64_t *y)
{
    pool(w, x, y, 1);
}

void sum_squares(const int64_t *x, int64_t outer, int64_t inner, int64_t *y)
{
    for (int64_t i = 0; i < inner; ++i) {
        int64_t total = 0;
        for (int64_t j = 0; j < outer; ++j)
            total += x[j * inner + i] * x[j * inner + i];
        y[i] = total;
    }
}

void sum_squares_around(const int64_t *x, int64_t channels, int64_t height, int64_t width,
                        int64_t size_c, int64_t size_h, int64_t size_w, int64_t *y)
{
    for (int64_t c = 0; c < channels; ++c)
        for (int64_t row = 0; row < height; ++row)
            for (int64_t column = 0; column < width; ++column) {
                int64_t front, back, top, bottom, left, right, total = 0;
                on_image(c, 1, size_c / 2, size_c, channels, &front, &back);
                on_image(row, 1, size_h / 2, size_h, height, &top, &bottom);
                on_image(column, 1, size_w / 2, size_w, width, &left, &right);
                for (int64_t k = front; k < back; ++k)
                    for (int64_t i = top; i < bottom; ++i)
                        for (int64_t j = left; j < right; ++j) {
                            const int64_t value = x[(k * height + i) * width + j];
                            total += value * value;
                        }
                *y++ = total;
            }
}

void interpolate(const int64_t *x, const int64_t *nodes, int bits, int64_t *y, size_t count)
{
    for (size_t i = 0; i < count; ++i) {
        int64_t leading = x[i];
        int shift = 0;
        for (; leading >> (bits + 1); leading >>= 1)
            ++shift;
        const int64_t *const node = nodes + ((int64_t)shift << bits) + leading;
        const int64_t rest = x[i] - (leading << shift);
        y[i] = node[0] - (((node[0] - node[1]) * rest) >> shift);
    }
}

#include "floats.h"

#define DEFINE_LOOKUP(BITS)                                                                      \
    void lookup_##BITS(const int64_t *x, int64_t first, const int##BITS##_t *table, int64_t *y,  \
                       size_t count)                                                             \
    {                                                                                            \
        for (size_t i = 0; i < count; ++i)                                                       \
            y[i] = table[x[i] - first];                                                          \
    }

DEFINE_LOOKUP(8)
DEFINE_LOOKUP(16)
DEFINE_LOOKUP(32)

#define WEIGHT int8_t
#define NAME(op) op##_8
#include "products.h"

#define WEIGHT int16_t
#define NAME(op) op##_16
#include "products.h"

#define WEIGHT int32_t
#define NAME(op) op##_32
#include "products.h"
