/* Operations on one code of type INT; ops.h includes this once per type. */

static inline INT NAME(at_least)(INT x, INT low)
{
    return x < low ? low : x;
}

static inline INT NAME(at_most)(INT x, INT high)
{
    return x > high ? high : x;
}

static inline INT NAME(limit)(INT x, INT low, INT high)
{
    return x < low ? low : x > high ? high : x;
}

static inline INT NAME(greatest)(INT x, INT y)
{
    return x > y ? x : y;
}

/* x / 2^shift, rounded: down, to nearest with ties to even, to nearest with ties away from zero. */
static inline INT NAME(round_floor)(INT x, int shift)
{
    return x >> shift;
}

static inline INT NAME(round_even)(INT x, int shift)
{
    const INT below_half = ((INT)1 << (shift - 1)) - 1;
    return (x + below_half + ((x >> shift) & 1)) >> shift;
}

static inline INT NAME(round_away)(INT x, int shift)
{
    const INT half = (INT)1 << (shift - 1);
    return x < 0 ? -((half - x) >> shift) : (x + half) >> shift;
}

/* The same for x / divisor, whatever is 1 or more. */
static inline INT NAME(divide_floor)(INT x, INT divisor)
{
    return x / divisor - (x % divisor < 0);
}

static inline INT NAME(divide_even)(INT x, INT divisor)
{
    const INT low = NAME(divide_floor)(x, divisor), rest = 2 * (x - low * divisor);
    return low + (rest > divisor || (rest == divisor && low % 2 != 0));
}

static inline INT NAME(divide_away)(INT x, INT divisor)
{
    const INT magnitude = x < 0 ? -x : x, rounded = (2 * magnitude + divisor) / (2 * divisor);
    return x < 0 ? -rounded : rounded;
}

/* x in a register that holds -half up to half - 1, and wraps around. */
static inline INT NAME(wrap)(INT x, INT half)
{
    const INT rest = (x + half) % (2 * half);
    return rest < 0 ? rest + half : rest - half;
}

#undef INT
#undef NAME
