/* Numbers, sizes, durations and booleans as text, both ways. */
#include <mrpipe/text.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>

int mrp_parse_uint(uint64_t *out, const char *s, size_t len, uint64_t max)
{
    uint64_t value = 0;
    if (!len)
        return MRP_E_CONFIG;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return MRP_E_CONFIG;
        uint64_t digit = (uint64_t)(s[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return MRP_E_CONFIG;
        value = value * 10 + digit;
    }
    if (value > max)
        return MRP_E_CONFIG;
    *out = value;
    return MRP_OK;
}

int mrp_parse_int(int64_t *out, const char *s, int64_t min, int64_t max)
{
    if (!s)
        return MRP_E_CONFIG;
    bool minus = s[0] == '-';
    uint64_t magnitude;
    s += minus;
    if (mrp_parse_uint(&magnitude, s, strlen(s), INT64_MAX))
        return MRP_E_CONFIG;
    int64_t value = minus ? -(int64_t)magnitude : (int64_t)magnitude;
    if (value < min || value > max)
        return MRP_E_CONFIG;
    *out = value;
    return MRP_OK;
}

int mrp_parse_bool(bool *out, const char *s)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};
    for (size_t i = 0; s && i < MRP_COUNT(yes); i++) {
        bool is_yes = strcasecmp(s, yes[i]) == 0;
        if (is_yes || strcasecmp(s, no[i]) == 0) {
            *out = is_yes;
            return MRP_OK;
        }
    }
    return MRP_E_CONFIG;
}

/* 128 bits, so that a fraction of a large unit cannot overflow. */
__extension__ typedef unsigned __int128 wide;

/* "12" or "12.345": value times `unit`, exact for up to six decimals. Returns what follows, or
 * NULL. */
static const char *scaled(uint64_t *out, const char *s, uint64_t (*unit)(const char **end))
{
    size_t n = strspn(s, "0123456789"), decimals = 0;
    const char *frac = s + n, *end = s + n;
    if (*end == '.') {
        frac = end + 1;
        decimals = strspn(frac, "0123456789");
        end = frac + decimals;
        if (!decimals || decimals > 6)
            return NULL;
    }
    uint64_t whole, part = 0;
    if (mrp_parse_uint(&whole, s, n, UINT64_MAX))
        return NULL;
    if (decimals && mrp_parse_uint(&part, frac, decimals, UINT64_MAX))
        return NULL;
    uint64_t factor = unit(&end);
    if (!factor || whole > UINT64_MAX / factor)
        return NULL;
    uint64_t power = 1;
    for (size_t i = 0; i < decimals; i++)
        power *= 10;
    uint64_t fraction = part ? (uint64_t)((wide)part * factor / power) : 0;
    if (whole * factor > UINT64_MAX - fraction)
        return NULL;
    *out = whole * factor + fraction;
    return end;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static uint64_t find_unit(const struct unit *units, size_t count, const char **end)
{
    size_t n = strspn(*end, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    for (size_t i = 0; i < count; i++)
        if (strlen(units[i].name) == n && strncasecmp(units[i].name, *end, n) == 0) {
            *end += n;
            return units[i].factor;
        }
    return 0;
}

static uint64_t size_unit(const char **end)
{
    static const struct unit units[] = {
        {"", 1},
        {"B", 1},
        {"K", 1ull << 10},
        {"KiB", 1ull << 10},
        {"KB", 1000},
        {"M", 1ull << 20},
        {"MiB", 1ull << 20},
        {"MB", 1000000},
        {"G", 1ull << 30},
        {"GiB", 1ull << 30},
        {"GB", 1000000000},
        {"T", 1ull << 40},
        {"TiB", 1ull << 40},
        {"TB", 1000000000000},
    };
    return find_unit(units, MRP_COUNT(units), end);
}

static uint64_t duration_unit(const char **end)
{
    static const struct unit units[] = {
        {"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
    };
    return find_unit(units, MRP_COUNT(units), end);
}

int mrp_parse_size(uint64_t *out_bytes, const char *s)
{
    uint64_t value;
    const char *end = s ? scaled(&value, s, size_unit) : NULL;
    if (!end || *end)
        return MRP_E_CONFIG;
    *out_bytes = value;
    return MRP_OK;
}

int mrp_parse_duration(int64_t *out_ms, const char *s)
{
    uint64_t total = 0;
    if (!s || !*s)
        return MRP_E_CONFIG;
    for (const char *p = s; *p;) {
        uint64_t value;
        const char *end = scaled(&value, p, duration_unit);
        if (!end || value > INT64_MAX - total)
            return MRP_E_CONFIG;
        total += value;
        p = end;
    }
    *out_ms = (int64_t)total;
    return MRP_OK;
}

const char *mrp_show_bytes(char *buf, size_t len, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
    if (bytes < 1024) {
        snprintf(buf, len, "%llu B", (unsigned long long)bytes);
        return buf;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    while (value >= 999.95 && unit + 1 < MRP_COUNT(units)) {
        value /= 1024;
        unit++;
    }
    snprintf(buf, len, "%.1f %s", value, units[unit]);
    return buf;
}

const char *mrp_show_ms(char *buf, size_t len, int64_t ms)
{
    if (ms < 1000)
        snprintf(buf, len, "%lld ms", (long long)ms);
    else if (ms < 60000)
        snprintf(buf, len, "%lld.%lld s", (long long)(ms / 1000), (long long)(ms % 1000 / 100));
    else if (ms < 3600000)
        snprintf(buf, len, "%lldm %02llds", (long long)(ms / 60000), (long long)(ms / 1000 % 60));
    else
        snprintf(buf, len, "%lldh %02lldm", (long long)(ms / 3600000),
                 (long long)(ms / 60000 % 60));
    return buf;
}
