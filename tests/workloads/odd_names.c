/*
 * odd_names.c - functions whose names no profiler wants to meet.
 *
 *   odd_names [--seconds 2]
 *
 * The build replaces the nine-letter tags in the symbol table by bytes of the same number (see
 * odd_names.sed): escape sequences, quotes, invalid UTF-8, a right-to-left override, a line break.
 * The thread's name holds an escape sequence too. Prints {"functions":{tag:ns}}.
 */
#include <sys/prctl.h>

#include "truth.h"

DEFINE_BURN(odd_TAGESCAPE_end, 6364136223846793005u)
DEFINE_BURN(odd_TAGQUOTES_end, 2862933555777941757u)
DEFINE_BURN(odd_TAGBADUTF_end, 3935559000370003845u)
DEFINE_BURN(odd_TAGBIDIRL_end, 4768777513237032717u)
DEFINE_BURN(odd_TAGLINEBR_end, 1181783497276652981u)

/* Mangled, but not a name: demanglers have to give up on it gracefully. */
DEFINE_BURN(_ZN3odd12unterminatedINS_4deepINS_4deepINS_4deepE, 7664345821815920749u)

struct odd {
    const char *tag;
    uint64_t (*fn)(uint64_t, long);
};

static const struct odd odds[] = {
    {"escape", odd_TAGESCAPE_end},
    {"quotes", odd_TAGQUOTES_end},
    {"badutf", odd_TAGBADUTF_end},
    {"bidirl", odd_TAGBIDIRL_end},
    {"linebr", odd_TAGLINEBR_end},
    {"unterminated", _ZN3odd12unterminatedINS_4deepINS_4deepINS_4deepE},
};

enum { N_ODDS = sizeof(odds) / sizeof(odds[0]) };

int main(int argc, char **argv)
{
    int64_t end = wall_ns() + (int64_t)(option(argc, argv, "--seconds", 2) * 1e9);
    int64_t ns[N_ODDS] = {0};
    uint64_t x = 1;
    prctl(PR_SET_NAME, "\x1b[31mred\xff\n");
    while (wall_ns() < end) {
        for (int i = 0; i < N_ODDS; i++) {
            int64_t before = thread_cpu_ns();
            x = odds[i].fn(x, 2L * UNIT_ITERATIONS);
            ns[i] += thread_cpu_ns() - before;
        }
    }
    printf("{\"functions\":{");
    for (int i = 0; i < N_ODDS; i++) {
        printf("%s\"%s\":%lld", i ? "," : "", odds[i].tag, (long long)ns[i]);
    }
    printf("}}\n");
    return x == 1;
}
