/* Clocks, and the three forms of dates that AWS and HTTP use. */
#include <mrpipe/time.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

int64_t mrp_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t mrp_now_ms(void)
{
    return mrp_now_us() / 1000;
}

int64_t mrp_wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void mrp_sleep_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

static struct tm split(int64_t wall_ms)
{
    time_t t = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&t, &tm);
    return tm;
}

const char *mrp_iso8601(char *buf, size_t len, int64_t wall_ms, bool with_ms)
{
    struct tm tm = split(wall_ms);
    size_t n = strftime(buf, len, "%Y-%m-%dT%H:%M:%S", &tm);
    if (with_ms)
        snprintf(buf + n, len - n, ".%03dZ", (int)(wall_ms % 1000));
    else
        snprintf(buf + n, len - n, "Z");
    return buf;
}

const char *mrp_amz_date(char *buf, size_t len, int64_t wall_ms)
{
    struct tm tm = split(wall_ms);
    strftime(buf, len, "%Y%m%dT%H%M%SZ", &tm);
    return buf;
}

/* Reads exactly `digits` digits; -1 if they are not there. */
static int number(const char **s, int digits)
{
    int value = 0;
    for (int i = 0; i < digits; i++) {
        char c = (*s)[i];
        if (c < '0' || c > '9')
            return -1;
        value = value * 10 + (c - '0');
    }
    *s += digits;
    return value;
}

static void skip(const char **s, char c)
{
    if (**s == c)
        ++*s;
}

static int to_ms(int64_t *out, struct tm *tm, int64_t ms, int64_t offset_s)
{
    if (tm->tm_mon < 0 || tm->tm_mon > 11 || tm->tm_mday < 1 || tm->tm_mday > 31 ||
        tm->tm_hour < 0 || tm->tm_hour > 23 || tm->tm_min < 0 || tm->tm_min > 59 ||
        tm->tm_sec < 0 || tm->tm_sec > 60)
        return -1;
    time_t t = timegm(tm);
    *out = ((int64_t)t - offset_s) * 1000 + ms;
    return 0;
}

static int zone(const char **s, int64_t *offset_s)
{
    char sign = **s;
    *offset_s = 0;
    if (sign == 'Z' || sign == 'z') {
        ++*s;
        return 0;
    }
    if (sign != '+' && sign != '-')
        return -1;
    ++*s;
    int hours = number(s, 2);
    skip(s, ':');
    int minutes = number(s, 2);
    if (hours < 0 || hours > 14 || minutes < 0 || minutes > 59)
        return -1;
    *offset_s = (hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
    return 0;
}

int mrp_parse_iso8601(int64_t *out_wall_ms, const char *s)
{
    struct tm tm = {0};
    int64_t ms = 0, offset_s, value;
    int year = number(&s, 4);
    if (year < 1970)
        return -1;
    tm.tm_year = year - 1900;
    skip(&s, '-');
    tm.tm_mon = number(&s, 2) - 1;
    skip(&s, '-');
    tm.tm_mday = tm.tm_mon < 0 ? -1 : number(&s, 2);
    if (tm.tm_mday < 0 || (*s != 'T' && *s != 't' && *s != ' '))
        return -1;
    s++;
    tm.tm_hour = number(&s, 2);
    skip(&s, ':');
    tm.tm_min = tm.tm_hour < 0 ? -1 : number(&s, 2);
    skip(&s, ':');
    tm.tm_sec = tm.tm_min < 0 ? -1 : number(&s, 2);
    if (tm.tm_sec < 0)
        return -1;
    if (*s == '.' || *s == ',') {
        size_t n = strspn(s + 1, "0123456789");
        for (size_t i = 0, unit = 100; i < n && unit; i++, unit /= 10)
            ms += (int64_t)unit * (s[1 + i] - '0');
        s += 1 + n;
    }
    if (zone(&s, &offset_s) || *s || to_ms(&value, &tm, ms, offset_s))
        return -1;
    *out_wall_ms = value;
    return 0;
}

int mrp_parse_http_date(int64_t *out_wall_ms, const char *s)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm = {0};
    const char *comma = strchr(s, ',');
    if (!comma || comma[1] != ' ')
        return -1;
    s = comma + 2;
    tm.tm_mday = number(&s, 2);
    if (tm.tm_mday < 1 || *s != ' ' || strnlen(s, 5) < 5)
        return -1;
    tm.tm_mon = -1;
    for (int i = 0; i < 12; i++)
        if (memcmp(months + 3 * i, s + 1, 3) == 0)
            tm.tm_mon = i;
    s += 4;
    skip(&s, ' ');
    int year = number(&s, 4);
    if (year < 1970 || tm.tm_mon < 0)
        return -1;
    tm.tm_year = year - 1900;
    skip(&s, ' ');
    tm.tm_hour = number(&s, 2);
    skip(&s, ':');
    tm.tm_min = tm.tm_hour < 0 ? -1 : number(&s, 2);
    skip(&s, ':');
    tm.tm_sec = tm.tm_min < 0 ? -1 : number(&s, 2);
    if (tm.tm_sec < 0 || strcmp(s, " GMT") != 0)
        return -1;
    return to_ms(out_wall_ms, &tm, 0, 0);
}
