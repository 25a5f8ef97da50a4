/* Mailbox names there and back: what decodes encodes to the same name, and the other way. */
#include "utf7.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autofree char *name = utf7_decode(text);
    if (name) {
        g_autofree char *wire = utf7_encode(name);
        g_assert_cmpstr(wire, ==, text);
    }
    g_autofree char *wire = utf7_encode(text);
    g_assert_cmpint(wire != NULL, ==, g_utf8_validate(text, -1, NULL));
    if (wire) {
        g_autofree char *back = utf7_decode(wire);
        g_assert_cmpstr(back, ==, text);
    }
    return 0;
}
