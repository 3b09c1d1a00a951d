/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The context description. libiio reads it with a validating XML parser, so the document carries its own DTD;
 * the element and attribute names are those of libiio 0.x.
 */
#include <errno.h>
#include <string.h>

#include "iiod.h"

static const char dtd[] =
	"<!DOCTYPE context ["
	"<!ELEMENT context (device|context-attribute)*>"
	"<!ATTLIST context name CDATA #REQUIRED description CDATA #IMPLIED version-major CDATA "
	"#REQUIRED version-minor CDATA #REQUIRED version-git CDATA #REQUIRED>"
	"<!ELEMENT context-attribute EMPTY>"
	"<!ATTLIST context-attribute name CDATA #REQUIRED value CDATA #REQUIRED>"
	"<!ELEMENT device (channel|attribute|debug-attribute|buffer-attribute)*>"
	"<!ATTLIST device id CDATA #REQUIRED name CDATA #IMPLIED label CDATA #IMPLIED>"
	"<!ELEMENT channel (scan-element?,attribute*)>"
	"<!ATTLIST channel id CDATA #REQUIRED type (input|output) #REQUIRED name CDATA #IMPLIED>"
	"<!ELEMENT scan-element EMPTY>"
	"<!ATTLIST scan-element index CDATA #REQUIRED format CDATA #REQUIRED scale CDATA #IMPLIED>"
	"<!ELEMENT attribute EMPTY>"
	"<!ATTLIST attribute name CDATA #REQUIRED filename CDATA #IMPLIED>"
	"<!ELEMENT debug-attribute EMPTY>"
	"<!ATTLIST debug-attribute name CDATA #REQUIRED>"
	"<!ELEMENT buffer-attribute EMPTY>"
	"<!ATTLIST buffer-attribute name CDATA #REQUIRED>"
	"]>";

static void text(FILE *f, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '&':
			fputs("&amp;", f);
			break;
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		default:
			fputc(*s, f);
		}
	}
}

static void attr(FILE *f, const char *key, const char *value)
{
	fprintf(f, " %s=\"", key);
	text(f, value);
	fputc('"', f);
}

static void channel(FILE *f, const struct iiod_channel *c, size_t index)
{
	fputs("<channel", f);
	attr(f, "id", c->id);
	if (c->name)
		attr(f, "name", c->name);
	fputs(" type=\"input\">", f);
	if (c->format) {
		fprintf(f, "<scan-element index=\"%zu\"", index);
		attr(f, "format", c->format);
		fputs("/>", f);
	}
	for (size_t i = 0; i < c->n_attrs; i++) {
		fputs("<attribute", f);
		attr(f, "name", c->attrs[i].name);
		if (c->attrs[i].filename)
			attr(f, "filename", c->attrs[i].filename);
		fputs("/>", f);
	}
	fputs("</channel>", f);
}

static void device(FILE *f, const struct iiod_device *d)
{
	fputs("<device", f);
	attr(f, "id", d->id);
	attr(f, "name", d->name);
	fputs(">", f);
	for (size_t i = 0; i < d->n_channels; i++)
		channel(f, &d->channels[i], i);
	for (size_t i = 0; i < d->n_attrs; i++) {
		fputs("<attribute", f);
		attr(f, "name", d->attrs[i].name);
		fputs("/>", f);
	}
	for (size_t i = 0; i < d->n_debug_attrs; i++) {
		fputs("<debug-attribute", f);
		attr(f, "name", d->debug_attrs[i].name);
		fputs("/>", f);
	}
	fputs("</device>", f);
}

int iiod_xml(const struct iiod_device *const *devices, size_t n_devices, char **ret_xml, size_t *ret_len)
{
	char *xml = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&xml, &len);

	if (!f)
		return -ENOMEM;
	fputs("<?xml version=\"1.0\" encoding=\"utf-8\"?>", f);
	fputs(dtd, f);
	fputs("<context name=\"perigee-twin\" version-major=\"0\" version-minor=\"24\" "
	      "version-git=\"perigee\""
	      " description=\"Perigee digital twin " PERIGEE_VERSION "\">",
		f);
	for (size_t i = 0; i < n_devices; i++)
		device(f, devices[i]);
	fputs("</context>", f);
	bool bad = ferror(f);
	if (fclose(f) || bad) {
		free(xml);
		return -ENOMEM;
	}
	*ret_xml = xml;
	*ret_len = len;
	return 0;
}
