/* SPDX-License-Identifier: MIT */
/* sys/elf: this very program, the kinds of programs, and damaged files by the thousand. */
#include "unit.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>

#include "sys/elf.h"

static char dir[] = "/tmp/unit-elf-XXXXXX";

static const char *in_dir(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static const char *file_of(const char *name, const void *bytes, size_t len, mode_t mode)
{
	const char *path = in_dir(name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

/* The build id in memory, where the linker put it. */
static int find_id(struct dl_phdr_info *info, size_t size, void *arg)
{
	u8 *ret = arg;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		const char *p = (const char *)info->dlpi_addr + ph->p_vaddr, *end = p + ph->p_memsz;

		while (ph->p_type == PT_NOTE && p + sizeof(ElfW(Nhdr)) < end) {
			const ElfW(Nhdr) *n = (const void *)p;

			if (n->n_type == NT_GNU_BUILD_ID && n->n_descsz == 20)
				memcpy(ret, p + sizeof(*n) + 4, 20);
			p += sizeof(*n) + ((n->n_namesz + 3) & ~3u) + ((n->n_descsz + 3) & ~3u);
		}
	}
	return 1;
}

static void build_id_of_self(void **state)
{
	u8 want[20] = { 0 }, have[CT_BUILD_ID_MAX];
	size_t len = 0;

	dl_iterate_phdr(find_id, want);
	assert_int_equal(ct_elf_build_id("/proc/self/exe", have, &len), 0);
	assert_int_equal(len, 20);
	assert_memory_equal(have, want, 20);
}

static void kinds(void **state)
{
	struct ct_elf_kind k;

	assert_int_equal(ct_elf_kind("/proc/self/exe", &k), 0);
	assert_true(k.is_elf && !k.is_static && !k.setuid && !k.setgid && !k.file_caps);
	assert_false(k.is_script);
	assert_int_equal(k.elf_class, sizeof(long) == 8 ? ELFCLASS64 : ELFCLASS32);
	assert_int_equal(ct_elf_kind(file_of("sh", "#! \t/bin/sh -e\nexit\n", 19, 0755), &k), 0);
	assert_true(k.is_script && !k.is_elf);
	assert_string_equal(k.interpreter, "/bin/sh");
	assert_int_equal(ct_elf_kind(file_of("text", "hello\n", 6, 06755), &k), 0);
	assert_true(!k.is_script && !k.is_elf && k.setuid && k.setgid);
	assert_int_equal(ct_elf_kind(file_of("locked", "hello\n", 6, 02644), &k), 0);
	assert_false(k.setgid);
	assert_int_equal(ct_elf_kind(file_of("empty", "", 0, 0755), &k), 0);
	assert_true(!k.is_elf && !k.is_script);
	assert_int_equal(ct_elf_kind(file_of("bare", "#!\n", 3, 0755), &k), 0);
	assert_false(k.is_script);
}

/* A header and no PT_INTERP: what a static program looks like to the kernel. */
static void static_program(void **state)
{
	struct {
		Elf64_Ehdr e;
		Elf64_Phdr p[2];
	} f = { .e = { .e_machine = EM_X86_64,
		       .e_phoff = sizeof(Elf64_Ehdr),
		       .e_phnum = 2,
		       .e_phentsize = sizeof(Elf64_Phdr) } };
	struct ct_elf_kind k;
	u8 id[CT_BUILD_ID_MAX];
	size_t len = 77;

	memcpy(f.e.e_ident, ELFMAG, SELFMAG);
	f.e.e_ident[EI_CLASS] = ELFCLASS64;
	f.e.e_ident[EI_DATA] = ELFDATA2LSB;
	f.e.e_ident[EI_VERSION] = EV_CURRENT;
	f.p[0].p_type = PT_LOAD;
	assert_int_equal(ct_elf_kind(file_of("static", &f, sizeof(f), 0755), &k), 0);
	assert_true(k.is_elf && k.is_static);
	assert_int_equal(k.machine, EM_X86_64);
	assert_int_equal(ct_elf_build_id(in_dir("static"), id, &len), -ENODATA);
	assert_int_equal(len, 77);
	f.p[1].p_type = PT_INTERP;
	assert_int_equal(ct_elf_kind(file_of("dynamic", &f, sizeof(f), 0755), &k), 0);
	assert_true(k.is_elf && !k.is_static);
	/* The headers that it speaks of are not there. */
	assert_int_equal(ct_elf_kind(file_of("torn", &f, sizeof(f) - 1, 0755), &k), 0);
	assert_false(k.is_elf);
	assert_int_equal(ct_elf_build_id(in_dir("torn"), id, &len), -ENOEXEC);
}

/* One note segment with the given bytes. */
static int id_of_note(const void *note, size_t len, u64 filesz, u64 align, u8 *id, size_t *ret_len)
{
	u8 buf[1024] = { 0 };
	Elf64_Ehdr e = { .e_phoff = sizeof(e), .e_phnum = 1, .e_phentsize = sizeof(Elf64_Phdr) };
	Elf64_Phdr p = { .p_type = PT_NOTE, .p_offset = 200, .p_filesz = filesz, .p_align = align };

	memcpy(e.e_ident, ELFMAG, SELFMAG);
	e.e_ident[EI_CLASS] = ELFCLASS64;
	e.e_ident[EI_DATA] = ELFDATA2LSB;
	e.e_ident[EI_VERSION] = EV_CURRENT;
	memcpy(buf, &e, sizeof(e));
	memcpy(buf + sizeof(e), &p, sizeof(p));
	memcpy(buf + 200, note, len);
	return ct_elf_build_id(file_of("note", buf, 200 + len, 0600), id, ret_len);
}

static void notes(void **state)
{
	struct {
		Elf64_Nhdr h;
		char name[4];
		u8 desc[24];
	} n = { .h = { 4, 8, NT_GNU_BUILD_ID }, .name = "GNU", .desc = { 1, 2, 3 } };
	u8 id[CT_BUILD_ID_MAX];
	size_t len;

	assert_int_equal(id_of_note(&n, sizeof(n), sizeof(n), 4, id, &len), 0);
	assert_int_equal(len, 8);
	assert_int_equal(id[2], 3);
	/* Longer than we keep: cut. */
	n.h.n_descsz = 24;
	assert_int_equal(id_of_note(&n, sizeof(n), sizeof(n), 4, id, &len), 0);
	assert_int_equal(len, CT_BUILD_ID_MAX);
	/* Sizes that lie. */
	n.h.n_descsz = 25;
	assert_int_equal(id_of_note(&n, sizeof(n), sizeof(n), 4, id, &len), -ENODATA);
	n.h.n_descsz = UINT32_MAX;
	assert_int_equal(id_of_note(&n, sizeof(n), sizeof(n), 4, id, &len), -ENODATA);
	n.h.n_descsz = 8;
	n.h.n_namesz = UINT32_MAX;
	assert_int_equal(id_of_note(&n, sizeof(n), sizeof(n), 8, id, &len), -ENODATA);
	n.h.n_namesz = 4;
	assert_int_equal(id_of_note(&n, sizeof(n), UINT64_MAX, 4, id, &len), 0);
	assert_int_equal(id_of_note(&n, 11, sizeof(n), 4, id, &len), -ENODATA);
	memcpy(n.name, "Xen", 4);
	assert_int_equal(id_of_note(&n, sizeof(n), sizeof(n), 4, id, &len), -ENODATA);
}

static void no_regular_file(void **state)
{
	struct ct_elf_kind k;
	u8 id[CT_BUILD_ID_MAX];
	size_t len;

	/* Nobody writes to it: opening must not wait. */
	assert_int_equal(mkfifo(in_dir("fifo"), 0700), 0);
	assert_int_equal(ct_elf_kind(in_dir("fifo"), &k), -EACCES);
	assert_int_equal(ct_elf_build_id(in_dir("fifo"), id, &len), -EACCES);
	assert_int_equal(ct_elf_kind(dir, &k), -EACCES);
	assert_int_equal(ct_elf_kind(in_dir("nothing"), &k), -ENOENT);
	assert_int_equal(ct_elf_build_id(file_of("text", "hello\n", 6, 0700), id, &len), -ENOEXEC);
}

/* Any prefix, and any few bytes changed in the headers: an answer, and no harm. */
static void damaged(void **state)
{
	static u8 good[8192], bad[8192];
	int fd = open("/proc/self/exe", O_RDONLY);
	ssize_t n = read(fd, good, sizeof(good));
	u64 x = 88172645463325252ULL;
	struct ct_elf_kind k;
	u8 id[CT_BUILD_ID_MAX];
	size_t len;

	assert_true(n > 1024);
	close(fd);
	for (size_t cut = 0; cut < 1200; cut += 3) {
		ct_elf_kind(file_of("cut", good, cut, 0700), &k);
		assert_true(ct_elf_build_id(in_dir("cut"), id, &len) <= 0);
	}
	for (int i = 0; i < 4000; i++) {
		memcpy(bad, good, sizeof(bad));
		for (int j = 0; j < 1 + i % 6; j++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			bad[4 + x % 1020] = (u8)(i % 3 ? x >> 32 : 0xff);
		}
		file_of("bad", bad, (size_t)n, 0700);
		assert_true(ct_elf_kind(in_dir("bad"), &k) <= 0);
		len = 0;
		if (ct_elf_build_id(in_dir("bad"), id, &len) == 0)
			assert_true(len > 0 && len <= CT_BUILD_ID_MAX);
	}
}

static int setup(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	static const char *const names[] = { "sh",	"text", "locked", "empty", "bare", "static",
					     "dynamic", "torn", "note",	  "fifo",  "cut",  "bad" };

	for (size_t i = 0; i < ct_array_size(names); i++)
		unlink(in_dir(names[i]));
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(build_id_of_self), cmocka_unit_test(kinds),
		cmocka_unit_test(static_program),   cmocka_unit_test(notes),
		cmocka_unit_test(no_regular_file),  cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
