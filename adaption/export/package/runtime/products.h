/* Products of values of type IN with weights of type WEIGHT, and their sums of type SUM; a program
 * includes this once for each three that it needs. TERM(product) is what one product adds. */
#ifndef TERM
#define TERM(product) (product)
#endif

/* One row of a channel of the top. x is the first channel of the group, filter the one that the
 * output has for it. */
static inline void NAME(convolve)(const struct convolution *c, const IN *x, const WEIGHT *filter,
                                  ptrdiff_t row, SUM *restrict sums)
{
    const struct window *const w = &c->w;
    for (ptrdiff_t q = 0; q < c->top_w; ++q)
        sums[q] = 0;
    for (ptrdiff_t i = 0; i < w->kernel_h; ++i) {
        const ptrdiff_t r = row * w->stride_h - w->pad_h + i * c->dilation_h;
        if (r < 0 || r >= w->height)
            continue;
        for (ptrdiff_t j = 0; j < w->kernel_w; ++j) {
            const ptrdiff_t shift = j * c->dilation_w - w->pad_w, step = w->stride_w;
            ptrdiff_t first = 0, end = w->width - shift;
            if (shift < 0)
                first = (step - 1 - shift) / step;
            end = end > 0 ? (end + step - 1) / step : 0;
            if (end > c->top_w)
                end = c->top_w;
            for (ptrdiff_t k = 0; k < c->channels; ++k) {
                const IN *const line = x + (k * w->height + r) * w->width;
                const SUM factor = filter[k * c->next + i * w->kernel_w + j];
                if (factor != 0 && step == 1)
                    for (ptrdiff_t q = first; q < end; ++q)
                        sums[q] += TERM((SUM)line[q + shift] * factor);
                else if (factor != 0)
                    for (ptrdiff_t q = first; q < end; ++q)
                        sums[q] += TERM((SUM)line[q * step + shift] * factor);
            }
        }
    }
}

/* The same of a deconvolution; height and width of the window are those of the bottom. */
static inline void NAME(deconvolve)(const struct convolution *c, const IN *x, const WEIGHT *filter,
                                    ptrdiff_t row, SUM *restrict sums)
{
    const struct window *const w = &c->w;
    for (ptrdiff_t q = 0; q < c->top_w; ++q)
        sums[q] = 0;
    for (ptrdiff_t i = 0; i < w->kernel_h; ++i) {
        const ptrdiff_t from = row + w->pad_h - i * c->dilation_h, r = from / w->stride_h;
        if (from < 0 || from % w->stride_h != 0 || r >= w->height)
            continue;
        for (ptrdiff_t j = 0; j < w->kernel_w; ++j) {
            const ptrdiff_t shift = j * c->dilation_w - w->pad_w;
            for (ptrdiff_t k = 0; k < c->channels; ++k) {
                const IN *const line = x + (k * w->height + r) * w->width;
                const SUM factor = filter[k * c->next + i * w->kernel_w + j];
                for (ptrdiff_t s = 0; factor != 0 && s < w->width; ++s) {
                    const ptrdiff_t q = s * w->stride_w + shift;
                    if (q >= 0 && q < c->top_w)
                        sums[q] += TERM((SUM)line[s] * factor);
                }
            }
        }
    }
}

/* `count` places of a convolution with one tap per channel: these are `plane` values apart. */
static inline void NAME(mix)(const IN *x, ptrdiff_t plane, ptrdiff_t channels,
                             const WEIGHT *filter, ptrdiff_t count, SUM *restrict sums)
{
    for (ptrdiff_t q = 0; q < count; ++q)
        sums[q] = 0;
    for (ptrdiff_t k = 0; k < channels; ++k) {
        const SUM factor = filter[k];
        for (ptrdiff_t q = 0; factor != 0 && q < count; ++q)
            sums[q] += TERM((SUM)x[k * plane + q] * factor);
    }
}

/* One inner product; weights are `next` apart. */
static inline SUM NAME(dot)(const IN *x, const WEIGHT *weight, ptrdiff_t next, ptrdiff_t size)
{
    SUM sum = 0;
    for (ptrdiff_t k = 0; k < size; ++k)
        sum += TERM((SUM)x[k] * weight[k * next]);
    return sum;
}

#undef IN
#undef WEIGHT
#undef SUM
#undef NAME
#undef TERM
