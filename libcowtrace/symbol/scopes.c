/* SPDX-License-Identifier: MIT */
/*
 * Walks the scopes around an address.  The innermost frame's line is the line
 * table's; each frame further out stands where the one inside it was inlined.
 *
 * Invariant: strings in the frames belong to the Dwarf.
 */
#include "symbol/scopes.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

static const char *die_name(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	const char *name = NULL;

	/*
	 * A mangled name tells overloads and namespaces apart.  Other linkage names are
	 * aliases inside a library (glibc's __GI_x): the source's name is better.
	 */
	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attr) ||
	    dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attr))
		name = dwarf_formstring(&attr);
	return name && strncmp(name, "_Z", 2) == 0 ? name : dwarf_diename(die);
}

static u64 die_number(Dwarf_Die *die, unsigned int at)
{
	Dwarf_Attribute attr;
	Dwarf_Word v;

	if (!dwarf_attr(die, at, &attr) || dwarf_formudata(&attr, &v) != 0)
		return 0;
	return v;
}

/* Where an inlined call was written: file and line of the frame outside it. */
static void call_place(Dwarf_Die *cu, Dwarf_Die *inlined, struct ct_frame *outer)
{
	Dwarf_Files *files;
	size_t nr;
	u64 file = die_number(inlined, DW_AT_call_file);

	outer->line = (int)die_number(inlined, DW_AT_call_line);
	if (dwarf_getsrcfiles(cu, &files, &nr) == 0 && file < nr)
		outer->file = dwarf_filesrc(files, file, NULL, NULL);
}

/* The innermost scopes first, each in the place where its code stands; NULL: none. */
static Dwarf_Die *physical_scopes(Dwarf_Die *cu, Dwarf_Addr pc, int *ret_nr)
{
	Dwarf_Die *scopes = NULL;
	Dwarf_Die *chain = NULL;
	int nr = dwarf_getscopes(cu, pc, &scopes);

	/*
	 * dwarf_getscopes goes from an inlined function to the scopes of its definition;
	 * the scopes of the die itself are those of the call.
	 */
	*ret_nr = nr > 0 ? dwarf_getscopes_die(&scopes[0], &chain) : 0;
	free(scopes);
	if (*ret_nr <= 0) {
		free(chain);
		chain = NULL;
	}
	return chain;
}

static void line_place(Dwarf_Die *cu, Dwarf_Addr pc, struct ct_frame *f)
{
	Dwarf_Line *line = dwarf_getsrc_die(cu, pc);

	if (!line)
		return;
	dwarf_lineno(line, &f->line);
	f->file = dwarf_linesrc(line, NULL, NULL);
}

size_t ct_symbol_scopes_frames(Dwarf_Die *cu, Dwarf_Addr pc, struct ct_frame *frames, size_t nr)
{
	Dwarf_Die *scopes;
	int nr_scopes;
	size_t n = 0;

	frames[0] = (struct ct_frame){ 0 };
	line_place(cu, pc, &frames[0]);
	scopes = physical_scopes(cu, pc, &nr_scopes);
	for (int i = 0; i < nr_scopes; i++) {
		int tag = dwarf_tag(&scopes[i]);

		if (tag == DW_TAG_subprogram) {
			frames[n++].function = die_name(&scopes[i]);
			break;
		}
		if (tag != DW_TAG_inlined_subroutine)
			continue;
		frames[n].function = die_name(&scopes[i]);
		frames[n].inlined = true;
		if (++n == nr)
			break;
		frames[n] = (struct ct_frame){ 0 };
		call_place(cu, &scopes[i], &frames[n]);
	}
	free(scopes);
	/* An assembler's unit has lines and no function. */
	if (n == 0 && frames[0].file)
		n = 1;
	return n;
}
