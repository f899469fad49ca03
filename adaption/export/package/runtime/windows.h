/* Windows over values of type IN, with sums of type SUM; a program includes this once for each two
 * that it needs. `plane` is one channel. */

static inline IN NAME(greatest)(const struct window *w, const IN *plane, ptrdiff_t row,
                                ptrdiff_t column)
{
    ptrdiff_t top, bottom, left, right;
    on_image(row, w->stride_h, w->pad_h, w->kernel_h, w->height, &top, &bottom);
    on_image(column, w->stride_w, w->pad_w, w->kernel_w, w->width, &left, &right);
    IN greatest = plane[top * w->width + left];
    for (ptrdiff_t i = top; i < bottom; ++i)
        for (ptrdiff_t j = left; j < right; ++j)
            if (plane[i * w->width + j] > greatest)
                greatest = plane[i * w->width + j];
    return greatest;
}

static inline SUM NAME(total)(const struct window *w, const IN *plane, ptrdiff_t row,
                              ptrdiff_t column)
{
    ptrdiff_t top, bottom, left, right;
    on_image(row, w->stride_h, w->pad_h, w->kernel_h, w->height, &top, &bottom);
    on_image(column, w->stride_w, w->pad_w, w->kernel_w, w->width, &left, &right);
    SUM total = 0;
    for (ptrdiff_t i = top; i < bottom; ++i)
        for (ptrdiff_t j = left; j < right; ++j)
            total += plane[i * w->width + j];
    return total;
}

/* Sum of squares of `count` values that are `next` apart. */
static inline SUM NAME(squares)(const IN *x, ptrdiff_t next, ptrdiff_t count)
{
    SUM total = 0;
    for (ptrdiff_t k = 0; k < count; ++k)
        total += (SUM)x[k * next] * x[k * next];
    return total;
}

/* Sum of squares over the window of w, and over `depth` channels around one, of `channels`. */
static inline SUM NAME(squares_around)(const struct window *w, const IN *x, ptrdiff_t channels,
                                       ptrdiff_t depth, ptrdiff_t channel, ptrdiff_t row,
                                       ptrdiff_t column)
{
    ptrdiff_t front, back, top, bottom, left, right;
    on_image(channel, 1, depth / 2, depth, channels, &front, &back);
    on_image(row, 1, w->pad_h, w->kernel_h, w->height, &top, &bottom);
    on_image(column, 1, w->pad_w, w->kernel_w, w->width, &left, &right);
    SUM total = 0;
    for (ptrdiff_t k = front; k < back; ++k)
        for (ptrdiff_t i = top; i < bottom; ++i)
            for (ptrdiff_t j = left; j < right; ++j) {
                const SUM value = x[(k * w->height + i) * w->width + j];
                total += value * value;
            }
    return total;
}

#undef IN
#undef SUM
#undef NAME
