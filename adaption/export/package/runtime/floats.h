/* float32 operations; ops.c includes this. Each is one IEEE operation per value, or several in the
 * order written here, rounded after each: multiplications and additions are loops of their own, so
 * that no compiler fuses them. */

static float at_float(const struct float_spread *s, size_t i)
{
    return s->values[i / s->inner % s->count];
}

void scale_sums(const int64_t *x, struct float_spread scale, float *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] = (float)x[i] * at_float(&scale, i);
}

void dequantize(const int64_t *x, double step, double divisor, float *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] = (float)((double)x[i] * step / divisor);
}

void float_times(const float *x, struct float_spread factor, float *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] = x[i] * at_float(&factor, i);
}

void float_plus(const float *x, struct float_spread addend, float *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] = x[i] + at_float(&addend, i);
}

void float_slope(const float *x, struct float_spread slopes, float *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] = x[i] > 0 ? x[i] : x[i] * at_float(&slopes, i);
}

void float_clip(const float *x, float low, float high, float *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}

void float_add(const float *x, float *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] += x[i];
}

void float_multiply(const float *x, float *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] *= x[i];
}

void float_maximum(const float *x, float *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        if (x[i] > y[i])
            y[i] = x[i];
}

void float_copy(const float *x, float *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] = x[i];
}

void float_gather(const float *x, const int32_t *from, float *y, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        y[i] = x[from[i]];
}

/* Each column of a window from its top, then the columns from the left. */
void float_mean(const struct window *w, const float *x, struct float_spread sizes, float *y)
{
    size_t place = 0;
    for (int64_t c = 0; c < w->channels; ++c) {
        const float *const plane = x + c * w->height * w->width;
        for (int64_t row = 0; row < w->top_h; ++row)
            for (int64_t column = 0; column < w->top_w; ++column, ++place) {
                int64_t top, bottom, left, right;
                on_image(row, w->stride_h, w->pad_h, w->kernel_h, w->height, &top, &bottom);
                on_image(column, w->stride_w, w->pad_w, w->kernel_w, w->width, &left, &right);
                float total = 0;
                for (int64_t j = left; j < right; ++j) {
                    float sum = 0;
                    for (int64_t i = top; i < bottom; ++i)
                        sum += plane[i * w->width + j];
                    total += sum;
                }
                y[place] = total / at_float(&sizes, place);
            }
    }
}

void float_max_pool(const struct window *w, const float *x, float *y)
{
    for (int64_t c = 0; c < w->channels; ++c) {
        const float *const plane = x + c * w->height * w->width;
        for (int64_t row = 0; row < w->top_h; ++row)
            for (int64_t column = 0; column < w->top_w; ++column) {
                int64_t top, bottom, left, right;
                on_image(row, w->stride_h, w->pad_h, w->kernel_h, w->height, &top, &bottom);
                on_image(column, w->stride_w, w->pad_w, w->kernel_w, w->width, &left, &right);
                float greatest = plane[top * w->width + left];
                for (int64_t i = top; i < bottom; ++i)
                    for (int64_t j = left; j < right; ++j)
                        if (plane[i * w->width + j] > greatest)
                            greatest = plane[i * w->width + j];
                *y++ = greatest;
            }
    }
}

void float_convolve(const struct convolution *c, const float *x, const float *weight, float *y)
{
    const struct window *const w = &c->w;
    const int64_t channels = w->channels / c->group, outputs = c->outputs / c->group;
    for (int64_t output = 0; output < c->outputs; ++output) {
        const float *const bottom = x + output / outputs * channels * w->height * w->width;
        const float *const filter = weight + output * channels * w->kernel_h * w->kernel_w;
        for (int64_t row = 0; row < w->top_h; ++row)
            for (int64_t column = 0; column < w->top_w; ++column) {
                double total = 0; /* products of two floats are exact in double */
                for (int64_t k = 0; k < channels; ++k)
                    for (int64_t i = 0; i < w->kernel_h; ++i) {
                        const int64_t r = row * w->stride_h - w->pad_h + i * c->dilation_h;
                        if (r < 0 || r >= w->height)
                            continue;
                        for (int64_t j = 0; j < w->kernel_w; ++j) {
                            const int64_t s = column * w->stride_w - w->pad_w + j * c->dilation_w;
                            if (s < 0 || s >= w->width)
                                continue;
                            total += (double)bottom[(k * w->height + r) * w->width + s]
                                   * filter[(k * w->kernel_h + i) * w->kernel_w + j];
                        }
                    }
                *y++ = (float)total;
            }
    }
}

void float_inner_product(const float *x, const float *weight, size_t rows, size_t size,
                         size_t outputs, float *y)
{
    for (size_t row = 0; row < rows; ++row, x += size)
        for (size_t output = 0; output < outputs; ++output) {
            const float *const factors = weight + output * size;
            double total = 0;
            for (size_t k = 0; k < size; ++k)
                total += (double)x[k] * factors[k];
            *y++ = (float)total;
        }
}
