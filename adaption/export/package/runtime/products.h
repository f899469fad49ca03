/* Products with weights of type WEIGHT; ops.c includes this once per type. */

void NAME(convolve)(const struct convolution *c, const int64_t *x, const WEIGHT *weight,
                    int64_t *y)
{
    const struct window *const w = &c->w;
    const int64_t channels = w->channels / c->group, outputs = c->outputs / c->group;
    for (int64_t output = 0; output < c->outputs; ++output) {
        const int64_t *const bottom = x + output / outputs * channels * w->height * w->width;
        const WEIGHT *const filter = weight + output * channels * w->kernel_h * w->kernel_w;
        for (int64_t row = 0; row < w->top_h; ++row)
            for (int64_t column = 0; column < w->top_w; ++column) {
                int64_t total = 0;
                for (int64_t k = 0; k < channels; ++k)
                    for (int64_t i = 0; i < w->kernel_h; ++i) {
                        const int64_t r = row * w->stride_h - w->pad_h + i * c->dilation_h;
                        if (r < 0 || r >= w->height)
                            continue;
                        for (int64_t j = 0; j < w->kernel_w; ++j) {
                            const int64_t s = column * w->stride_w - w->pad_w + j * c->dilation_w;
                            if (s < 0 || s >= w->width)
                                continue;
                            total += bottom[(k * w->height + r) * w->width + s]
                                   * filter[(k * w->kernel_h + i) * w->kernel_w + j];
                        }
                    }
                *y++ = total;
            }
    }
}

void NAME(deconvolve)(const struct convolution *c, const int64_t *x, const WEIGHT *weight,
                      int64_t *y)
{
    const struct window *const w = &c->w;
    const int64_t channels = w->channels / c->group, outputs = c->outputs / c->group;
    for (int64_t i = 0; i < c->outputs * w->top_h * w->top_w; ++i)
        y[i] = 0;
    for (int64_t channel = 0; channel < w->channels; ++channel)
        for (int64_t o = 0; o < outputs; ++o) {
            const int64_t output = channel / channels * outputs + o;
            const WEIGHT *const filter
                = weight + (channel * outputs + o) * w->kernel_h * w->kernel_w;
            int64_t *const top = y + output * w->top_h * w->top_w;
            for (int64_t row = 0; row < w->height; ++row)
                for (int64_t column = 0; column < w->width; ++column) {
                    const int64_t value = x[(channel * w->height + row) * w->width + column];
                    for (int64_t i = 0; i < w->kernel_h; ++i) {
                        const int64_t r = row * w->stride_h - w->pad_h + i * c->dilation_h;
                        if (r < 0 || r >= w->top_h)
                            continue;
                        for (int64_t j = 0; j < w->kernel_w; ++j) {
                            const int64_t s = column * w->stride_w - w->pad_w + j * c->dilation_w;
                            if (s >= 0 && s < w->top_w)
                                top[r * w->top_w + s] += value * filter[i * w->kernel_w + j];
                        }
                    }
                }
        }
}

void NAME(inner_product)(const int64_t *x, const WEIGHT *weight, size_t rows, size_t size,
                         size_t outputs, int is_transposed, int64_t *y)
{
    const size_t next = is_transposed ? outputs : 1; /* from one factor to the next */
    for (size_t row = 0; row < rows; ++row, x += size)
        for (size_t output = 0; output < outputs; ++output) {
            const WEIGHT *const factors = weight + output * (is_transposed ? 1 : size);
            int64_t total = 0;
            for (size_t k = 0; k < size; ++k)
                total += x[k] * factors[k * next];
            *y++ = total;
        }
}

#undef WEIGHT
#undef NAME
