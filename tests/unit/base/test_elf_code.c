/* test_elf_code.c - code of this very program, and of files that are damaged in every way. */
#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/elf_code.h"
#include "base/fd.h"

enum { IMAGE_BYTES = 0x3000 };

/* One executable segment at 0x401000 from offset 0x1000, and a note with a build id. */
static void make_image(uint8_t *image)
{
    Elf64_Ehdr *h = (Elf64_Ehdr *)image;
    Elf64_Phdr *p = (Elf64_Phdr *)(image + sizeof(*h));
    static const uint8_t note[] = {4, 0, 0,   0,   3,   0, 0,    0,    3,    0,
                                   0, 0, 'G', 'N', 'U', 0, 0xab, 0xcd, 0xef, 0};

    memset(image, 0, IMAGE_BYTES);
    memcpy(h->e_ident, ELFMAG, SELFMAG);
    h->e_ident[EI_CLASS] = ELFCLASS64;
    h->e_ident[EI_DATA] = ELFDATA2LSB;
    h->e_machine = EM_X86_64;
    h->e_phoff = sizeof(*h);
    h->e_phentsize = sizeof(*p);
    h->e_phnum = 2;
    p[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                        .p_flags = PF_R | PF_X,
                        .p_offset = 0x1000,
                        .p_vaddr = 0x401000,
                        .p_filesz = 0x1800};
    p[1] = (Elf64_Phdr){.p_type = PT_NOTE, .p_offset = 0x200, .p_filesz = sizeof(note)};
    memcpy(image + 0x200, note, sizeof(note));
    for (size_t i = 0x1000; i < IMAGE_BYTES; i++) {
        image[i] = (uint8_t)(i * 7);
    }
}

static int open_image(struct elf_code **c, const uint8_t *image, size_t n, struct err *e)
{
    int fd = memfd_create("elf", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, image, n), 0);
    return elf_code_open(c, fd, 0, e);
}

static void code_is_read_by_address(void **state)
{
    static uint8_t image[IMAGE_BYTES];
    struct elf_code *c = NULL;
    struct buf out = {0};
    uint64_t address = 0;

    (void)state;
    make_image(image);
    assert_int_equal(open_image(&c, image, sizeof(image), NULL), 0);
    assert_string_equal(elf_code_build_id(c), "abcdef");
    assert_true(elf_code_address_of_offset(c, 0x1234, &address));
    assert_int_equal(address, 0x401234);
    assert_false(elf_code_address_of_offset(c, 0xfff, &address));
    assert_false(elf_code_address_of_offset(c, 0x2800, &address));
    assert_int_equal(elf_code_read(c, 0x401234, 64, &out, NULL), 0);
    assert_int_equal(out.len, 64);
    assert_memory_equal(out.data, image + 0x1234, 64);
    buf_clear(&out);
    assert_int_equal(elf_code_read(c, 0x4027f0, 1 << 20, &out, NULL), 0);
    assert_int_equal(out.len, 0x10); /* to the end of the segment */
    assert_int_equal(elf_code_read(c, 0x402800, 1, &out, NULL), STAX_ENOTFOUND);
    assert_int_equal(elf_code_read(c, 0x400fff, 1, &out, NULL), STAX_ENOTFOUND);
    assert_int_equal(elf_code_read(c, UINT64_MAX, 1, &out, NULL), STAX_ENOTFOUND);
    buf_free(&out);
    elf_code_close(c);
}

/* The vDSO has its functions where the auxiliary vector says that it is. */
static void memory_is_read_as_well(void **state)
{
    struct elf_code *c = NULL;
    struct buf out = {0};
    uint64_t address, base = getauxval(AT_SYSINFO_EHDR);

    (void)state;
    assert_true(base != 0);
    assert_int_equal(elf_code_open(&c, open("/proc/self/mem", O_RDONLY | O_CLOEXEC), base, NULL),
                     0);
    assert_true(strlen(elf_code_build_id(c)) >= 16);
    for (address = 0; elf_code_read(c, address, 64, &out, NULL) < 0; address += 16) {
        assert_true(address < 0x10000);
    }
    assert_memory_equal(out.data, (const void *)(uintptr_t)(base + address), out.len);
    buf_free(&out);
    elf_code_close(c);
}

static void use(struct elf_code *c)
{
    struct buf out = {0};
    uint64_t address;

    for (uint64_t a = 0; a < 0x3000; a += 0x333) {
        elf_code_address_of_offset(c, a, &address);
        if (elf_code_read(c, 0x400000 + a, 4096, &out, NULL) == 0) {
            assert_true(out.len > 0 && out.len <= 4096);
        }
        buf_clear(&out);
    }
    buf_free(&out);
}

static void damage_is_an_error_or_wrong_bytes_only(void **state)
{
    static uint8_t image[IMAGE_BYTES];
    struct elf_code *c = NULL;
    struct err e;
    int n_refused = 0;

    (void)state;
    for (size_t at = 0; at < 0x240; at++) {
        for (int value = 0; value < 256; value += 51) {
            make_image(image);
            image[at] = (uint8_t)value;
            if (open_image(&c, image, sizeof(image), &e) == 0) {
                use(c);
                elf_code_close(c);
            } else {
                assert_int_equal(e.code, STAX_ECORRUPT);
                n_refused++;
            }
        }
    }
    assert_true(n_refused > 20);
    make_image(image);
    for (size_t n = 0; n < 0x1100; n += 13) { /* cut off */
        if (open_image(&c, image, n, &e) == 0) {
            use(c);
            elf_code_close(c);
        }
    }
    assert_int_equal(open_image(&c, image, 100, &e), STAX_ECORRUPT);
    assert_int_equal(open_image(&c, (const uint8_t *)"#!/bin/sh\n", 10, &e), STAX_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code_is_read_by_address),
        cmocka_unit_test(memory_is_read_as_well),
        cmocka_unit_test(damage_is_an_error_or_wrong_bytes_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
