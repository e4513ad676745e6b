/* Demangling: known names, and names made to hurt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ingest/names.h"

static void expect(const char *linkage_name, const char *readable)
{
    struct buf out = {0};
    names_demangle(&out, linkage_name, names_language(linkage_name));
    assert_string_equal(buf_str(&out), readable);
    buf_free(&out);
}

static void test_plain_names_stay(void **state)
{
    (void)state;
    expect("main", "main");
    expect("", "");
    expect("_", "_");
    expect("_Z", "_Z");
    expect("_R", "_R");
    expect("_Zonk", "_Zonk");
    expect("_start", "_start");
    expect("_ZN3fooEvX", "_ZN3fooEvX");
    expect("a b\tc", "a b\\x09c");
    expect("\xff\x1b[31m", "\\xff\\x1b[31m");
    expect("na\xc3\xafve", "na\xc3\xafve");
}

static void test_versions(void **state)
{
    (void)state;
    expect("memcpy@@GLIBC_2.14", "memcpy");
    expect("memcpy@GLIBC_2.2.5", "memcpy@GLIBC_2.2.5");
    expect("_ZNSs6appendEPKc@@GLIBCXX_3.4", "std::string::append(char const*)");
    expect("@x", "@x");
}

static void test_cplus(void **state)
{
    (void)state;
    expect("_ZN3foo3barEi", "foo::bar(int)");
    expect("_ZNSt6vectorIiSaIiEE9push_backERKi",
           "std::vector<int, std::allocator<int> >::push_back(int const&)");
    expect("_ZN3FooC1Ev", "Foo::Foo()");
    expect("_ZN3FooD0Ev", "Foo::~Foo()");
    expect("_ZZ4mainENKUliE_clEi", "main::{lambda(int)#1}::operator()(int) const");
    expect("_ZN3fooEv.cold", "foo()");
    expect("_Z3fooi.constprop.0.isra.0", "foo(int)");
    expect("_ZTV3Foo", "vtable for Foo");
    expect("_ZplRK1AS1_", "operator+(A const&, A const&)");
    expect("_ZN1AcviEv", "A::operator int()");
    /* Unresolved names as GCC 11 writes them and as before. */
    expect("_ZSt11make_sharedI1aJEESt10shared_ptrINSt9enable_ifIXntsr8is_arrayIT_EE5valueET_E"
           "4typeEEDpOT0_",
           "std::shared_ptr<std::enable_if<!is_array<a>::value, a>::type> std::make_shared<a>()");
    expect("_Z1fIiEDTcl1gsr1AE1xEET_", "decltype (g(A::x)) f<int>(int)");
    expect("_Z1fIiEDTcl1gsr1A1xEET_", "decltype (g(A::x)) f<int>(int)");
}

static void test_suffixes(void **state)
{
    (void)state;
    expect("foo.cold", "foo");
    expect("foo.part.0", "foo");
    expect("foo.part.12.cold", "foo");
    expect("foo.isra.0.constprop.1.lto_priv.3", "foo");
    expect("foo.llvm.1234567890", "foo");
    expect("_ZN4core3fmt5write17h0123456789abcdefE.llvm.42", "core::fmt::write");
    /* Functions of their own. */
    expect("foo._omp_fn.0", "foo._omp_fn.0");
    expect("foo.avx2.1", "foo.avx2.1");
    expect("foo.", "foo.");
    expect("foo.0", "foo.0");
    expect(".cold", ".cold");
    expect("foo.colder", "foo.colder");
    expect("part.0", "part.0");
}

static void expect_language(const char *linkage_name, const char *language)
{
    assert_string_equal(names_language(linkage_name), language);
}

static void test_languages(void **state)
{
    (void)state;
    expect_language("main", "");
    expect_language("_ZN3foo3barEi", "c++");
    expect_language("_ZN3foo3barEi.cold", "c++");
    expect_language("_ZN4core3fmt5write17h0123456789abcdefE", "rust");
    expect_language("_ZN4core3fmt5write17h0123456789abcdefE.llvm.42", "rust");
    expect_language("_ZN1a17h0123456789abcdegE", "c++");
    expect_language("_RNvC6_123foo3bar", "rust");
    expect_language("_Rest", "");
    expect_language("_D3std5stdio7writelnFZv", "d");
    expect_language("_Dmain", "");
    expect_language("camlStdlib__List__iter_507", "ocaml");
    expect_language("caml_alloc", "");
    expect_language("$s4main3fooyyF", "swift");
    assert_string_equal(names_language_of_word("c++"), "c++");
    assert_string_equal(names_language_of_word("klingon"), "");
}

static void test_d(void **state)
{
    (void)state;
    expect("_D8demangle4testFZv", "demangle.test()");
    expect("_D8demangle4testFiZv.part.0", "demangle.test(int)");
    expect("_D3app3FooQeFZv", "app.Foo.Foo()");
    expect("_D", "_D");
    expect("_D3", "_D3");
    expect("_D99999999999999999999999", "_D99999999999999999999999");
}

static void test_ocaml(void **state)
{
    (void)state;
    expect("camlStdlib__List__iter_507", "Stdlib.List.iter");
    expect("camlStdlib__List.iter_507", "Stdlib.List.iter");
    expect("camlFoo__fun_1234", "Foo.fun");
    expect("camlFoo__entry", "Foo.entry");
    expect("camlFoo__$2b$2b_12", "Foo.++");
    expect("camlFoo__a__b'_3", "Foo.a.b'");
    expect("caml_main", "caml_main");
    expect("camlFoo", "camlFoo");
}

static void expect_go(const char *linkage_name, const char *readable)
{
    struct buf out = {0};
    names_demangle(&out, linkage_name, "go");
    assert_string_equal(buf_str(&out), readable);
    buf_free(&out);
}

/* Readable as they are, and what looks like a suffix is a name. */
static void test_go(void **state)
{
    (void)state;
    expect_go("main.(*T).Method", "main.(*T).Method");
    expect_go("runtime.mallocgc", "runtime.mallocgc");
    expect_go("main.cold", "main.cold");
    expect_go("main.Map[go.shape.int,go.shape.struct { a int }]",
              "main.Map[go.shape.int,go.shape.struct { a int }]");
    expect_go("gopkg.in/yaml%2ev3.Unmarshal", "gopkg.in/yaml.v3.Unmarshal");
    expect_go("main.a\xc2\xb7"
              "b",
              "main.a\xc2\xb7"
              "b");
    expect_go("main.%zz%1", "main.%zz%1");
    expect_go("main.%0a", "main.%0a");
    expect_go("m@v", "m@v");
}

/* Each reference names a type that refers twice to the one before: 2^n times the text. */
static void test_d_that_explodes(void **state)
{
    (void)state;
    struct buf name = {0};
    buf_addstr(&name, "_D1aFS3fooZv");
    for (int i = 0; i < 30; i++) {
        buf_addstr(&name, "FQkQmZv");
    }
    for (size_t n = 1; n < name.len; n++) {
        char *part = mem_strndup(name.data, n);
        struct buf out = {0};
        names_demangle(&out, part, "d");
        assert_true(out.len <= 64 << 10);
        buf_free(&out);
        free(part);
    }
    buf_free(&name);
}

static void test_rust(void **state)
{
    (void)state;
    expect("_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write");
    expect("_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$"
           "3bar17h930b740aa94f1d3aE",
           "<Test + 'static as foo::Bar<Test>>::bar");
    expect("_RNvC6_123foo3bar", "123foo::bar");
    expect("_RNCNCNgCs6DXkGYLi8lr_2cc5spawn00B5_", "cc::spawn::{closure#0}::{closure#0}");
    expect("_RINbNbCskIICzLVDPPb_5alloc5alloc8box_freeDINbNiB4_5boxed5FnBoxuEp6OutputuEL_"
           "ECs1iopQbuBiw2_3std",
           "alloc::alloc::box_free::<dyn alloc::boxed::FnBox<(), Output = ()>>");
    expect(
        "_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y",
        "utf8_idents::"
        "\xe1\x83\xa1\xe1\x83\x90\xe1\x83\xad\xe1\x83\x9b\xe1\x83\x94\xe1\x83\x9a\xe1\x83\x90"
        "\xe1\x83\x93_\xe1\x83\x92\xe1\x83\x94\xe1\x83\x9b\xe1\x83\xa0\xe1\x83\x98\xe1\x83\x94\xe1"
        "\x83\x9a\xe1\x83\x98_\xe1\x83\xa1\xe1\x83\x90\xe1\x83\x93\xe1\x83\x98\xe1\x83\x9a\xe1\x83"
        "\x98");
}

/* prefix, then n times unit, then suffix. */
static char *repeat(const char *prefix, const char *unit, size_t n, const char *suffix)
{
    struct buf b = {0};
    buf_addstr(&b, prefix);
    for (size_t i = 0; i < n; i++) {
        buf_addstr(&b, unit);
    }
    buf_addstr(&b, suffix);
    return buf_take(&b);
}

static void expect_raw(char *name)
{
    expect(name, name);
    free(name);
}

static void test_long_real_names(void **state)
{
    (void)state;
    /* libiberty's plain interface gives up at 1,024 bytes; template-heavy code goes beyond. */
    char *name = repeat("_Z1fv", "i", 0, "");
    free(name);
    name = repeat("_Z1f", "3fooS_", 400, "");
    struct buf out = {0};
    names_demangle(&out, name, names_language(name));
    assert_non_null(strstr(buf_str(&out), "f(foo, foo, foo"));
    assert_true(out.len > 800 * 4);
    buf_free(&out);
    free(name);
    expect_raw(repeat("_Z1f", "i", 17000, "")); /* past the bound */
}

static void test_deep_recursion(void **state)
{
    (void)state;
    static const char *const units[] = {"P", "X", "I", "N", "M", "F", "Z", "A_", "ng", "cv", "il"};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t n = 16000 / strlen(units[i]);
        expect_raw(repeat("_Z1f", units[i], n, "i"));
        expect_raw(repeat("_Z1fIX", units[i], n, ""));
        expect_raw(repeat("_Z", units[i], n, ""));
    }
    expect_raw(repeat("_R", "NvN", 5000, "C3foo"));
    expect_raw(repeat("_RINvC3foo3bar", "R", 16000, "uE"));
}

static void add_back_reference(struct buf *b, size_t offset)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    buf_addch(b, 'B');
    if (offset > 62) {
        buf_addch(b, digits[(offset - 1) / 62]);
    }
    buf_addch(b, digits[(offset - 1) % 62]);
    buf_addch(b, '_');
}

static void test_exponential_text(void **state)
{
    (void)state;
    /* Each parameter is a pair of the one before. */
    struct buf b = {0};
    buf_addstr(&b, "_Z1f1aSt4pairIS_S_E");
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (size_t i = 1; i < 35; i++) {
        buf_addf(&b, "S0_IS%c_S%c_E", digits[i], digits[i]);
    }
    expect_raw(buf_take(&b));
    /* The same in Rust v0: each tuple refers twice to the one before it. */
    buf_addstr(&b, "_RINvC1a1fTuuE");
    size_t last = 8; /* offsets count from after _R */
    for (int i = 0; i < 40; i++) {
        size_t here = b.len - 2;
        buf_addch(&b, 'T');
        add_back_reference(&b, last);
        add_back_reference(&b, last);
        buf_addch(&b, 'E');
        last = here;
    }
    buf_addch(&b, 'E');
    expect_raw(buf_take(&b));
}

static void test_exponential_search(void **state)
{
    (void)state;
    /* A pack expansion over a doubled tree without any pack: searched, not printed. */
    struct buf b = {0};
    buf_addstr(&b, "_Z1f1aSt4pairIS_S_E");
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (size_t i = 1; i < 35; i++) {
        buf_addf(&b, "%sS0_IS%c_S%c_E", i == 34 ? "Dp" : "", digits[i], digits[i]);
    }
    expect_raw(buf_take(&b));
}

static void test_exponential_parse(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_addstr(&b, "_ZN1A");
    for (int i = 0; i < 60; i++) {
        buf_addstr(&b, "cvT_I");
    }
    buf_addstr(&b, "i");
    for (int i = 0; i < 60; i++) {
        buf_addch(&b, 'E');
    }
    buf_addstr(&b, "Ev");
    expect_raw(buf_take(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_names_stay),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_cplus),
        cmocka_unit_test(test_rust),
        cmocka_unit_test(test_suffixes),
        cmocka_unit_test(test_languages),
        cmocka_unit_test(test_d),
        cmocka_unit_test(test_ocaml),
        cmocka_unit_test(test_go),
        cmocka_unit_test(test_d_that_explodes),
        cmocka_unit_test(test_long_real_names),
        cmocka_unit_test(test_deep_recursion),
        cmocka_unit_test(test_exponential_text),
        cmocka_unit_test(test_exponential_search),
        cmocka_unit_test(test_exponential_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
