/* fail_if.c - see fail_if.h. */
#include "query/fail_if.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

enum { SHOWN_BYTES = 40, MAX_NUMBER_BYTES = 32 };

struct parser {
    const char *at;
    enum basis by;
    struct err *e;
};

static void skip_space(struct parser *p)
{
    while (isspace((unsigned char)*p->at)) {
        p->at++;
    }
}

static int expected(struct parser *p, const char *what)
{
    struct buf rest = {0};

    if (*p->at) {
        buf_addstr(&rest, "before '");
        text_clean(&rest, p->at, strnlen(p->at, SHOWN_BYTES));
        buf_addstr(&rest, strlen(p->at) > SHOWN_BYTES ? "...'" : "'");
    } else {
        buf_addstr(&rest, "at the end");
    }
    err_set(p->e, STAX_EUSAGE, "condition: %s is missing %s", what, buf_str(&rest));
    err_hint(p->e, "such as 'on_cpu > +10%%' or 'self(parse) > +5ms or off_cpu > 2s'");
    buf_free(&rest);
    return STAX_EUSAGE;
}

/* Takes a word if it is next and ends there. */
static bool take_word(struct parser *p, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(p->at, word, n) != 0 || isalnum((unsigned char)p->at[n]) || p->at[n] == '_') {
        return false;
    }
    p->at += n;
    skip_space(p);
    return true;
}

static bool take_char(struct parser *p, char c)
{
    if (*p->at != c) {
        return false;
    }
    p->at++;
    return true;
}

/* Brackets that names pair; < and > may be operators. Up to the one that closes the quantity. */
static const char *end_of_name(const char *s)
{
    int depth = 0;

    for (; *s && (depth > 0 || *s != ')'); s++) {
        depth += *s == '(' || *s == '[' || *s == '{';
        depth -= *s == ')' || *s == ']' || *s == '}';
        if (depth < 0) {
            return NULL;
        }
    }
    return *s ? s : NULL;
}

static int parse_name(struct parser *p, struct condition *c)
{
    skip_space(p);
    if (!take_char(p, '(')) {
        return expected(p, "'(' and the name of a function");
    }
    skip_space(p);
    bool is_quoted = take_char(p, '"');
    const char *end = is_quoted ? strchr(p->at, '"') : end_of_name(p->at);
    if (!end) {
        return expected(p, is_quoted ? "the closing '\"'" : "the ')' that closes the name");
    }
    size_t n = (size_t)(end - p->at);
    while (!is_quoted && n > 0 && isspace((unsigned char)p->at[n - 1])) {
        n--;
    }
    if (n == 0) {
        return expected(p, "the name of a function");
    }
    c->name = mem_strndup(p->at, n);
    p->at = end + is_quoted;
    skip_space(p);
    if (!take_char(p, ')')) {
        return expected(p, "')'");
    }
    skip_space(p);
    return 0;
}

static int parse_quantity(struct parser *p, struct condition *c)
{
    static const char *const words[] = {"on_cpu", "off_cpu", "self", "total"};

    for (int i = 0; i < 4; i++) {
        if (take_word(p, words[i])) {
            c->quantity = (enum quantity)i;
            return c->quantity >= QUANTITY_SELF ? parse_name(p, c) : 0;
        }
    }
    return expected(p, "on_cpu, off_cpu, self(FUNCTION) or total(FUNCTION)");
}

static int parse_comparison(struct parser *p, struct condition *c)
{
    bool is_above = *p->at == '>';

    if (!take_char(p, '>') && !take_char(p, '<')) {
        return expected(p, "one of > >= < <=");
    }
    bool has_equal = take_char(p, '=');
    c->comparison = is_above ? (has_equal ? IS_ABOVE_OR_EQUAL : IS_ABOVE)
                             : (has_equal ? IS_BELOW_OR_EQUAL : IS_BELOW);
    skip_space(p);
    return 0;
}

/* Decimal digits with one point; strtod() would take more than that. */
static int parse_number(struct parser *p, struct condition *c)
{
    char digits[MAX_NUMBER_BYTES] = "";
    char sign = *p->at;

    c->is_change = take_char(p, '+') || take_char(p, '-');
    size_t n = strspn(p->at, "0123456789");
    size_t n_all = n + (p->at[n] == '.' ? 1 + strspn(p->at + n + 1, "0123456789") : 0);
    if (n == 0) {
        return expected(p, "a number");
    }
    if (n_all >= sizeof(digits)) {
        return err_set(p->e, STAX_EUSAGE, "condition: a number has more than %d characters",
                       MAX_NUMBER_BYTES - 1);
    }
    memcpy(digits, p->at, n_all);
    c->number = strtod(digits, NULL);
    c->number = c->is_change && sign == '-' ? -c->number : c->number;
    p->at += n_all;
    skip_space(p);
    return 0;
}

static int parse_unit(struct parser *p, struct condition *c)
{
    if (take_char(p, '%')) {
        c->is_percent = true;
        skip_space(p);
    } else if (take_word(p, "ms")) {
        c->number *= 1e6;
    } else if (take_word(p, "s")) {
        c->number *= 1e9;
    } else {
        return expected(p, "a unit (ms, s or %)");
    }
    if (c->is_percent && !c->is_change && !c->name) {
        err_set(p->e, STAX_EUSAGE, "condition: a percentage of %s needs a sign",
                c->quantity == QUANTITY_ON_CPU ? "on_cpu" : "off_cpu");
        err_hint(p->e, "+10%% is a tenth more than in A");
        return STAX_EUSAGE;
    }
    if (!c->is_percent && p->by == BY_SHARE) {
        return err_set(p->e, STAX_EUSAGE,
                       "condition: shares are compared in percent, not in ms or s");
    }
    return 0;
}

static int parse_condition(struct parser *p, struct condition *c)
{
    const char *start = p->at;
    int rc = parse_quantity(p, c);

    rc = rc ? rc : parse_comparison(p, c);
    rc = rc ? rc : parse_number(p, c);
    rc = rc ? rc : parse_unit(p, c);
    size_t n = (size_t)(p->at - start);
    while (n > 0 && isspace((unsigned char)start[n - 1])) {
        n--;
    }
    c->text = mem_strndup(start, n);
    return rc;
}

int fail_if_parse(struct fail_if *f, const char *text, enum basis by, struct err *e)
{
    struct parser p = {.at = text, .by = by, .e = e};

    *f = (struct fail_if){0};
    if (strlen(text) > MAX_FAIL_IF_BYTES) {
        return err_set(e, STAX_EUSAGE, "conditions have %zu bytes, %d are allowed", strlen(text),
                       MAX_FAIL_IF_BYTES);
    }
    skip_space(&p);
    for (;;) {
        if (f->n == MAX_CONDITIONS) {
            return err_set(e, STAX_EUSAGE, "more than %d conditions", MAX_CONDITIONS);
        }
        int rc = parse_condition(&p, &f->items[f->n++]);
        if (rc < 0 || !*p.at) {
            return rc;
        }
        if (!take_word(&p, "or")) {
            return expected(&p, "'or'");
        }
    }
}

void fail_if_fini(struct fail_if *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->items[i].text);
        free(f->items[i].name);
    }
    *f = (struct fail_if){0};
}

static bool holds(enum comparison comparison, double value, double number)
{
    switch (comparison) {
    case IS_ABOVE:
        return value > number;
    case IS_ABOVE_OR_EQUAL:
        return value >= number;
    case IS_BELOW:
        return value < number;
    default:
        return value <= number;
    }
}

enum verdict condition_check(const struct condition *c, const struct change *change, enum basis by,
                             double z)
{
    const struct value *v = &change->by[by];
    double value = v->b;

    if (!c->is_change) {
        value = c->is_percent ? change->by[BY_SHARE].b : v->b;
    } else {
        value = c->is_percent ? value_change_pct(v) : v->delta;
    }
    if (!holds(c->comparison, value, c->number)) {
        return IS_NOT_MET;
    }
    bool is_sure = !c->is_change || change_is_exact(change) || change_is_significant(change, by, z);
    return is_sure ? IS_MET : IS_UNSURE;
}
