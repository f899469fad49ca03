"""main.c: the net on raw samples, for tests and for measuring on a desktop computer."""

from __future__ import annotations

from adaption.export.package.c.text import CText
from adaption.export.package.c.types import FLOAT
from adaption.export.package.names import printed

__all__ = ["main_text"]

MAIN = """\
/* Run the net on raw float32 samples: NET FILE. With -r TIMES before FILE the first sample runs so
 * often, and the time of one run is printed. With -DADAPTION_TRACE, every value is printed.
 *
 * FILE holds samples one behind another, each with all inputs in the order of @name@.h. A line per
 * output and sample: its name, in which other letters than plain ones are written as in an address
 * (%20 for a space), and its codes@values@.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "@name@.h"

@memory@

#define PRINT(name, codes, count) \\
    do { \\
        fputs(name, stdout); \\
        for (size_t i = 0; i < (size_t)(count); ++i) \\
            printf(" %lld", (long long)(codes)[i]); \\
        putchar('\\n'); \\
    } while (0)

@floats@#ifdef ADAPTION_TRACE
void adaption_trace(const char *name, const int64_t *codes, size_t count)
{
    PRINT(name, codes, count);
}
@trace@#endif

static int take(FILE *file)
{
@take@
    return 1;
}

static void run(void)
{
    @name@_run(@arguments@);
}

int main(int argc, char **argv)
{
    const int measures = argc == 4 && strcmp(argv[1], "-r") == 0;
    const long times = measures ? atol(argv[2]) : 0;
    if (argc != 2 && !(measures && times > 0)) {
        fprintf(stderr, "usage: %s [-r TIMES] FILE\\n", argv[0]);
        return 2;
    }
    FILE *const file = fopen(argv[argc - 1], "rb");
    if (file == NULL) {
        perror(argv[argc - 1]);
        return 2;
    }
    while (take(file)) {
        if (measures) {
            const clock_t start = clock();
            for (long i = 0; i < times; ++i)
                run();
            const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
            printf("%.6f ms per run\\n", 1000 * seconds / (double)times);
            break;
        }
        run();
@print@
    }
    fclose(file);
    return 0;
}
"""
FLOATS = """\
#define PRINT_FLOATS(name, values, count) \\
    do { \\
        fputs(name, stdout); \\
        for (size_t i = 0; i < (size_t)(count); ++i) \\
            printf(" %.9g", (double)(values)[i]); \\
        putchar('\\n'); \\
    } while (0)

"""
TRACE = """
void adaption_trace_floats(const char *name, const float *values, size_t count)
{
    PRINT_FLOATS(name, values, count);
}
"""
TAKE = """\
    got = fread({name}, sizeof {name}[0], {count}, file);
    if (got != {count}) {{
        if (got != 0{more})
            fprintf(stderr, "the file ends within a sample\\n");
        return 0;
    }}"""


def main_text(text: CText) -> str:
    """The file for a net."""
    u = text.unit
    memory = [
        *(f"static float {n}[{i.count}];" for n, i in zip(text.inputs, u.inputs, strict=True)),
        *(
            f"static {o.kind.name} {n}[{o.count}];"
            for n, o in zip(text.outputs, u.outputs, strict=True)
        ),
    ]
    take = ["    size_t got;"]
    for k, (name, i) in enumerate(zip(text.inputs, u.inputs, strict=True)):
        take.append(TAKE.format(name=name, count=i.count, more=" || 1" if k else ""))
    shown = [
        f'        PRINT{"_FLOATS" * (o.kind is FLOAT)}("{printed(o.blob)}", {n}, {o.count});'
        for n, o in zip(text.outputs, u.outputs, strict=True)
    ]
    made, floats = MAIN, u.graph.has_floats
    is_used = any(o.kind is FLOAT for o in u.outputs)
    for key, value in {
        "name": text.name,
        "memory": "\n".join(memory),
        "take": "\n".join(take),
        "arguments": ", ".join([*text.inputs, *text.outputs]),
        "print": "\n".join(shown),
        "floats": FLOATS if floats else "",
        "trace": TRACE if floats else "",
        "values": ", or its float32 values in 9 digits" if is_used else "",
    }.items():
        made = made.replace(f"@{key}@", value)
    return made
