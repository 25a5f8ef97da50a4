/* A server's bytes through scanner and parsers: no crash, and the same whether they come whole or
 * in small pieces. */
#include "../pop3-describe.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    g_autofree char *whole = describe_pop3(bytes, size, 0, 0);
    g_autofree char *pieces = describe_pop3(bytes, size, size % 11, 1 + size % 7);
    g_assert_cmpstr(whole, ==, pieces);
    return 0;
}
