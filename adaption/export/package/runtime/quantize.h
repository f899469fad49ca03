/* Rounding of REAL numbers to codes; ops.h includes this once per type. */

/* x * scale, which is exact, within reach of its codes. */
static inline REAL NAME(quantize_scaled)(REAL x, REAL scale, int32_t low, int32_t high)
{
    const REAL scaled = x * scale;
    if (scaled != scaled)
        return 0;
    if (scaled < (REAL)low - 1)
        return (REAL)low - 1;
    return scaled > (REAL)high + 1 ? (REAL)high + 1 : scaled;
}

static inline int32_t NAME(quantize_floor)(REAL x, REAL scale, int32_t low, int32_t high)
{
    const REAL scaled = NAME(quantize_scaled)(x, scale, low, high);
    const int32_t code = (int32_t)scaled; /* toward zero */
    return limit_32(code - (scaled < (REAL)code), low, high);
}

static inline int32_t NAME(quantize_even)(REAL x, REAL scale, int32_t low, int32_t high)
{
    const REAL scaled = NAME(quantize_scaled)(x, scale, low, high);
    const int32_t code = (int32_t)scaled;
    const REAL rest = scaled - (REAL)code, half = (REAL)0.5;
    const int is_odd = code % 2 != 0;
    const int up = rest > half || (rest == half && is_odd);
    const int down = rest < -half || (rest == -half && is_odd);
    return limit_32(code + up - down, low, high);
}

static inline int32_t NAME(quantize_away)(REAL x, REAL scale, int32_t low, int32_t high)
{
    const REAL scaled = NAME(quantize_scaled)(x, scale, low, high);
    const int32_t code = (int32_t)scaled;
    const REAL rest = scaled - (REAL)code, half = (REAL)0.5;
    return limit_32(code + (rest >= half) - (rest <= -half), low, high);
}

#undef REAL
#undef NAME
