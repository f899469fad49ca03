/* Run the net on raw float32 samples, as `net FILE`; -t before FILE prints every value.
 *
 * FILE holds samples one behind another, each with all inputs in the order of net.h. A line per
 * output and sample: its name, in which other letters than plain ones are written as in an address
 * (%20 for a space), and its codes, or its values where they are float.
 */
#include <stdio.h>
#include <string.h>

#include "net.h"

static float given[NET_INPUT_SIZE];
static int64_t made[NET_OUTPUT_SIZE];
#ifdef NET_FLOAT_SIZE
static float values[NET_FLOAT_SIZE];
#endif

static void print(const char *name, const int64_t *codes, size_t count)
{
    fputs(name, stdout);
    for (size_t i = 0; i < count; ++i)
        printf(" %lld", (long long)codes[i]);
    putchar('\n');
}

#ifdef NET_FLOAT_SIZE
static void print_floats(const char *name, const float *x, size_t count)
{
    fputs(name, stdout);
    for (size_t i = 0; i < count; ++i)
        printf(" %.9g", (double)x[i]); /* enough to read the same float again */
    putchar('\n');
}
#endif

int main(int argc, char **argv)
{
    const int traces = argc == 3 && strcmp(argv[1], "-t") == 0;
    if (argc != 2 + traces) {
        fprintf(stderr, "usage: %s [-t] FILE\n", argv[0]);
        return 2;
    }
    FILE *const file = fopen(argv[argc - 1], "rb");
    if (file == NULL) {
        perror(argv[argc - 1]);
        return 2;
    }
    size_t got;
    while ((got = fread(given, sizeof given[0], NET_INPUT_SIZE, file)) == NET_INPUT_SIZE) {
        const int64_t *codes = made;
#ifdef NET_FLOAT_SIZE
        const float *x = values;
        net_run(given, made, values, traces ? print : NULL);
#else
        net_run(given, made, traces ? print : NULL);
#endif
        for (size_t i = 0; i < NET_OUTPUTS; ++i) {
#ifdef NET_FLOAT_SIZE
            if (net_outputs[i].is_float) {
                print_floats(net_outputs[i].name, x, net_outputs[i].count);
                x += net_outputs[i].count;
                continue;
            }
#endif
            print(net_outputs[i].name, codes, net_outputs[i].count);
            codes += net_outputs[i].count;
        }
    }
    fclose(file);
    if (got != 0) {
        fprintf(stderr, "%s: ends within a sample of %d numbers\n", argv[argc - 1], NET_INPUT_SIZE);
        return 2;
    }
    return 0;
}
