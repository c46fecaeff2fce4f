/* SPDX-License-Identifier: MIT */
/*
 * A file and its debug information.  A trace speaks in file offsets, DWARF in
 * link-time addresses: the program headers of the very file that ran translate,
 * which is why a separate debug file alone (its headers describe no code) does
 * not do, and why another build of the file must not be used.
 *
 * Invariant: an open module has the build id that was asked for.
 */
#include "symbol/module.h"

#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <string.h>

#include "symbol/scopes.h"
#include "sys/elf.h"

struct load {
	u64 offset;
	u64 len;
	u64 vaddr;
};

struct ct_symbol_module {
	Dwfl_Callbacks callbacks;
	Dwfl *dwfl;
	Dwfl_Module *mod;
	u64 bias; /* of libdwfl's addresses over the file's */
	struct load *loads;
	size_t nr_loads;
};

static bool same_build(int fd, const u8 *id, size_t id_len)
{
	u8 have[CT_BUILD_ID_MAX];
	size_t len;

	if (id_len == 0)
		return true;
	return ct_elf_build_id_fd(fd, have, &len) == 0 && len == id_len &&
	       memcmp(have, id, len) == 0;
}

/* The file that ran, where it still is what it was. */
static bool report_path(struct ct_symbol_module *m, const char *path, const u8 *id, size_t id_len)
{
	ct_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 || !same_build(fd, id, id_len))
		return false;
	m->mod = dwfl_report_offline(m->dwfl, path, path, fd);
	if (!m->mod)
		return false;
	/* libdwfl has taken the descriptor. */
	ct_take_fd(&fd);
	return true;
}

/* Any file of this build id that elfutils can find. */
static bool report_build_id(struct ct_symbol_module *m, const char *path, const u8 *id,
			    size_t id_len)
{
	if (id_len == 0)
		return false;
	/* Its size is not known before it is found: leave room. */
	m->mod = dwfl_report_module(m->dwfl, path, 1ULL << 40, 1ULL << 44);
	return m->mod && dwfl_module_report_build_id(m->mod, id, id_len, 1ULL << 40) == 0;
}

static int loads_read(struct ct_symbol_module *m)
{
	GElf_Addr bias;
	Elf *elf = dwfl_module_getelf(m->mod, &bias);
	size_t nr;

	if (!elf || elf_getphdrnum(elf, &nr) != 0)
		return -ENOENT;
	m->bias = bias;
	m->loads = calloc(nr ? nr : 1, sizeof(*m->loads));
	if (!m->loads)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		GElf_Phdr ph;

		if (gelf_getphdr(elf, (int)i, &ph) && ph.p_type == PT_LOAD)
			m->loads[m->nr_loads++] =
				(struct load){ ph.p_offset, ph.p_filesz, ph.p_vaddr };
	}
	return 0;
}

static int module_report(struct ct_symbol_module *m, const char *path, const u8 *id, size_t id_len)
{
	bool found;

	m->dwfl = dwfl_begin(&m->callbacks);
	if (!m->dwfl)
		return -ENOMEM;
	dwfl_report_begin(m->dwfl);
	found = report_path(m, path, id, id_len) || report_build_id(m, path, id, id_len);
	dwfl_report_end(m->dwfl, NULL, NULL);
	return found ? loads_read(m) : -ENOENT;
}

int ct_symbol_module_open(const char *path, const u8 *id, size_t id_len, char **debug_path,
			  struct ct_symbol_module **ret)
{
	struct ct_symbol_module *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	m->callbacks = (Dwfl_Callbacks){
		.find_elf = dwfl_build_id_find_elf,
		.find_debuginfo = dwfl_standard_find_debuginfo,
		.section_address = dwfl_offline_section_address,
		/* libdwfl wants a place with a pointer in it; NULL in it is its default. */
		.debuginfo_path = debug_path,
	};
	r = module_report(m, path, id, id_len);
	if (r < 0) {
		ct_symbol_module_close(m);
		return r;
	}
	*ret = m;
	return 0;
}

void ct_symbol_module_close(struct ct_symbol_module *m)
{
	if (!m)
		return;
	if (m->dwfl)
		dwfl_end(m->dwfl);
	free(m->loads);
	free(m);
}

static bool offset_to_vaddr(const struct ct_symbol_module *m, u64 offset, u64 *ret)
{
	for (size_t i = 0; i < m->nr_loads; i++) {
		const struct load *l = &m->loads[i];

		if (offset >= l->offset && offset - l->offset < l->len) {
			*ret = l->vaddr + (offset - l->offset);
			return true;
		}
	}
	return false;
}

static bool die_has(Dwarf_Die *die, Dwarf_Addr pc)
{
	return dwarf_haspc(die, pc) > 0;
}

/* The unit that holds addr.  clang writes no .debug_aranges: then every unit is asked. */
static Dwarf_Die *unit_find(struct ct_symbol_module *m, u64 addr, Dwarf_Addr *ret_bias)
{
	Dwarf_Die *cu = dwfl_module_addrdie(m->mod, addr, ret_bias);

	if (cu)
		return cu;
	while ((cu = dwfl_module_nextcu(m->mod, cu, ret_bias))) {
		if (die_has(cu, addr - *ret_bias))
			return cu;
	}
	return NULL;
}

/* The name in the symbol table, when the symbol really reaches as far as addr. */
static const char *elf_symbol(struct ct_symbol_module *m, u64 addr, u64 *ret_offset)
{
	GElf_Sym sym;
	GElf_Off offset;
	const char *name = dwfl_module_addrinfo(m->mod, addr, &offset, &sym, NULL, NULL, NULL);

	if (!name || !*name || (sym.st_size && offset >= sym.st_size))
		return NULL;
	*ret_offset = offset;
	return name;
}

size_t ct_symbol_module_lookup(struct ct_symbol_module *m, u64 file_offset, struct ct_frame *frames,
			       size_t nr)
{
	u64 vaddr, addr, func_offset = 0;
	const char *symbol;
	Dwarf_Addr bias;
	Dwarf_Die *cu;
	size_t n = 0;

	if (!offset_to_vaddr(m, file_offset, &vaddr))
		return 0;
	addr = vaddr + m->bias;
	symbol = elf_symbol(m, addr, &func_offset);
	cu = unit_find(m, addr, &bias);
	if (cu)
		n = ct_symbol_scopes_frames(cu, addr - bias, frames, nr);
	if (n == 0) {
		if (!symbol)
			return 0;
		frames[0] = (struct ct_frame){ 0 };
		n = 1;
	}
	if (!frames[n - 1].function)
		frames[n - 1].function = symbol;
	for (size_t i = 0; i < n; i++) {
		frames[i].known = frames[i].function;
		frames[i].func_offset = symbol ? func_offset : 0;
	}
	return n;
}
