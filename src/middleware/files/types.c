/* SPDX-License-Identifier: Apache-2.0 */
/*
 * middleware/files/types.c - media types by extension (IANA's registry, and what browsers expect).
 */
#include "base/check.h"
#include "middleware/files/files.h"

#include <stdlib.h>

struct row {
    const char *extension; /* in lower case */
    const char *type;
    bool        compresses;
};

/* In the order of extensions: it is searched by halving. */
static const struct row rows[] = {
    {"3gp", "video/3gpp", false},
    {"7z", "application/x-7z-compressed", false},
    {"aac", "audio/aac", false},
    {"apk", "application/vnd.android.package-archive", false},
    {"apng", "image/apng", false},
    {"atom", "application/atom+xml", true},
    {"avi", "video/x-msvideo", false},
    {"avif", "image/avif", false},
    {"bin", "application/octet-stream", false},
    {"bmp", "image/bmp", true},
    {"br", "application/x-brotli", false},
    {"bz2", "application/x-bzip2", false},
    {"c", "text/plain", true},
    {"cjs", "text/javascript", true},
    {"conf", "text/plain", true},
    {"crt", "application/x-x509-ca-cert", false},
    {"css", "text/css", true},
    {"csv", "text/csv", true},
    {"deb", "application/vnd.debian.binary-package", false},
    {"dmg", "application/x-apple-diskimage", false},
    {"doc", "application/msword", true},
    {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", false},
    {"eot", "application/vnd.ms-fontobject", true},
    {"epub", "application/epub+zip", false},
    {"exe", "application/vnd.microsoft.portable-executable", false},
    {"flac", "audio/flac", false},
    {"flv", "video/x-flv", false},
    {"geojson", "application/geo+json", true},
    {"gif", "image/gif", false},
    {"glb", "model/gltf-binary", true},
    {"gltf", "model/gltf+json", true},
    {"gz", "application/gzip", false},
    {"h", "text/plain", true},
    {"heic", "image/heic", false},
    {"heif", "image/heif", false},
    {"htm", "text/html", true},
    {"html", "text/html", true},
    {"ico", "image/vnd.microsoft.icon", true},
    {"ics", "text/calendar", true},
    {"img", "application/octet-stream", false},
    {"ini", "text/plain", true},
    {"iso", "application/vnd.efi.iso", false},
    {"jar", "application/java-archive", false},
    {"jpeg", "image/jpeg", false},
    {"jpg", "image/jpeg", false},
    {"js", "text/javascript", true},
    {"json", "application/json", true},
    {"jsonld", "application/ld+json", true},
    {"jxl", "image/jxl", false},
    {"key", "application/vnd.apple.keynote", false},
    {"log", "text/plain", true},
    {"m3u8", "application/vnd.apple.mpegurl", true},
    {"m4a", "audio/mp4", false},
    {"m4s", "video/iso.segment", false},
    {"m4v", "video/mp4", false},
    {"manifest", "text/cache-manifest", true},
    {"map", "application/json", true},
    {"markdown", "text/markdown", true},
    {"md", "text/markdown", true},
    {"mid", "audio/midi", true},
    {"midi", "audio/midi", true},
    {"mjs", "text/javascript", true},
    {"mkv", "video/matroska", false},
    {"mov", "video/quicktime", false},
    {"mp3", "audio/mpeg", false},
    {"mp4", "video/mp4", false},
    {"mpd", "application/dash+xml", true},
    {"mpeg", "video/mpeg", false},
    {"mpg", "video/mpeg", false},
    {"msi", "application/x-msi", false},
    {"odp", "application/vnd.oasis.opendocument.presentation", false},
    {"ods", "application/vnd.oasis.opendocument.spreadsheet", false},
    {"odt", "application/vnd.oasis.opendocument.text", false},
    {"oga", "audio/ogg", false},
    {"ogg", "audio/ogg", false},
    {"ogv", "video/ogg", false},
    {"opus", "audio/ogg", false},
    {"otf", "font/otf", true},
    {"pdf", "application/pdf", false},
    {"pem", "application/x-pem-file", true},
    {"png", "image/png", false},
    {"ppt", "application/vnd.ms-powerpoint", true},
    {"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation", false},
    {"ps", "application/postscript", true},
    {"rar", "application/vnd.rar", false},
    {"rpm", "application/x-rpm", false},
    {"rss", "application/rss+xml", true},
    {"rtf", "application/rtf", true},
    {"sh", "text/x-shellscript", true},
    {"svg", "image/svg+xml", true},
    {"svgz", "image/svg+xml", false},
    {"tar", "application/x-tar", true},
    {"tgz", "application/gzip", false},
    {"tif", "image/tiff", false},
    {"tiff", "image/tiff", false},
    {"toml", "application/toml", true},
    {"torrent", "application/x-bittorrent", false},
    {"ts", "video/mp2t", false},
    {"tsv", "text/tab-separated-values", true},
    {"ttc", "font/collection", true},
    {"ttf", "font/ttf", true},
    {"txt", "text/plain", true},
    {"vcf", "text/vcard", true},
    {"vtt", "text/vtt", true},
    {"wasm", "application/wasm", true},
    {"wav", "audio/wav", true},
    {"weba", "audio/webm", false},
    {"webm", "video/webm", false},
    {"webmanifest", "application/manifest+json", true},
    {"webp", "image/webp", false},
    {"woff", "font/woff", false},
    {"woff2", "font/woff2", false},
    {"xhtml", "application/xhtml+xml", true},
    {"xls", "application/vnd.ms-excel", true},
    {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", false},
    {"xml", "application/xml", true},
    {"xsl", "application/xslt+xml", true},
    {"xz", "application/x-xz", false},
    {"yaml", "application/yaml", true},
    {"yml", "application/yaml", true},
    {"zip", "application/zip", false},
    {"zst", "application/zstd", false},
};

/* The longest extension of the table and one more, so that a longer one is cut and not found. */
enum { EXTENSION_ROOM = 16 };

/* What follows the last dot of the last segment; empty when there is none. */
static struct slice
extension_of(struct slice name)
{
    for (size_t i = name.n; i > 0 && name.at[i - 1] != '/'; i--)
        if (name.at[i - 1] == '.')
            return slice_from(name, i);
    return SLICE("");
}

static int
compare_row(const void *key, const void *row)
{
    return strcmp(key, ((const struct row *) row)->extension);
}

static const struct row *
find_row(struct slice extension)
{
    char lower[EXTENSION_ROOM];
    size_t n = 0;

    for (; n < extension.n && n < sizeof(lower) - 1; n++)
        lower[n] = ascii_lower(extension.at[n]);
    lower[n] = '\0';
    return bsearch(lower, rows, countof(rows), sizeof(rows[0]), compare_row);
}

/* Of a type that somebody wrote in the options. */
static bool
looks_compressible(struct slice type)
{
    static const struct slice parts[] = {SLICE_INIT("text/"), SLICE_INIT("json"),
                                         SLICE_INIT("xml"), SLICE_INIT("javascript")};

    for (size_t i = 0; i < countof(parts); i++)
        if (slice_search(type, parts[i]) != SLICE_NOT_FOUND)
            return true;
    return false;
}

/* A type of the options says all itself, its charset too. */
static bool
find_option(const struct files *f, struct slice extension, struct files_type *out)
{
    const struct option_pair *own = f->types.at;

    for (size_t i = 0; i < f->types.n; i++) {
        if (!slice_eq_nocase(own[i].key, extension))
            continue;
        *out = (struct files_type){own[i].value, false, looks_compressible(own[i].value)};
        return true;
    }
    return false;
}

struct files_type
files_type_of(const struct files *f, struct slice name)
{
    struct slice extension = extension_of(name);
    const struct row *row;
    struct files_type type = {SLICE("application/octet-stream"), false, false};

    if (extension.n == 0 || find_option(f, extension, &type) || !(row = find_row(extension)))
        return type;
    type.type = slice_str(row->type);
    type.text = slice_starts(type.type, SLICE("text/"));
    type.compresses = row->compresses;
    return type;
}
