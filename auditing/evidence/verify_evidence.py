"""Verifies evidence of Custody without Custody: Python 3.8 or newer and `cryptography` is all.

    python verify_evidence.py evidence.zip [--key KEY] [--anchors FILE]
    python verify_evidence.py certificate.json [manifest.json] [--parts FOLDER] [--key KEY]

KEY: the public key or its fingerprint (SHA-256), or a file with it, told otherwise than by this.
A leaf is SHA-256(0 | meta | LF | name TAB SHA-256(salt | value) LF ...), the tree that of RFC 6962.
"""

import argparse
import base64
import json
import zipfile
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

wrong, notes = [], []


def check(fine, said):
    if not fine:
        wrong.append(said)
    return fine


def ordered(part):
    if isinstance(part, dict):
        return {k: ordered(part[k]) for k in sorted(part, key=lambda k: k.encode("utf-16-be"))}
    return [ordered(each) for each in part] if isinstance(part, list) else part


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def fingerprint(public):
    return sha256(base64.b64decode(public)).hexdigest()


class Keys:
    """Public keys by id, and which of them hang together with the one that is believed."""

    def __init__(self, public, statements, own, given):
        self.public, self.leaked = public, {}
        for key in public:
            check(fingerprint(public[key])[:16] == key, f"the public key {key} was exchanged")
        if given:
            plain = "".join(given.replace(":", " ").split())
            match = [k for k in public if plain in (public[k], fingerprint(public[k]))]
            own = match[0] if check(match, "the key that you gave signed nothing here") else ""
        self.good = {own}
        for each in statements * len(statements):  # Each round may reach one more.
            said = each["statement"]
            old, new = said["old"]["key_id"], said["new"]["key_id"]
            by = {key for key in (old, new) if self.fit(said, each["signatures"].get(key), key)}
            if new in self.good & by:
                self.good.add(old)
                if said["since"]:
                    since = moment(said["since"])
                    self.leaked[old] = min(since, self.leaked.get(old, since))
            if old in self.good and said["ended"] == "rotated" and by == {old, new}:
                self.good.add(new)
        mark = fingerprint(public[own]) if own in public else ""
        mark = " ".join(mark[at : at + 4] for at in range(0, 64, 4))
        print("key     you gave:" if given else "key     believed, to be compared by you:", mark)

    def fit(self, value, signature, key):
        if not isinstance(value, bytes):
            value = json.dumps(ordered(value), ensure_ascii=False, separators=(",", ":")).encode()
        try:
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(self.public[key]))
            return public.verify(base64.b64decode(signature), value) is None
        except (InvalidSignature, ValueError, TypeError, KeyError):
            return False

    def signed(self, value, signature, key, what):
        said = f"{what}: nothing connects its key {key} with the believed one"
        fine = check(self.fit(value, signature, key), f"{what} is not what {key} signed: changed")
        return fine and check(key in self.good, said)


def certificate(name, content, keys):
    said = (document := json.loads(content))["certificate"]
    key, at = said["key_id"], said["issued_at"]
    check(said["format"] == "custody-certificate/1", f"{name} is of another format")
    if keys.signed(said, document["signature"], key, f"certificate {name}"):
        leaked = key in keys.leaked and moment(at) >= keys.leaked[key]
        check(not leaked, f"certificate {name}: its key {key} had leaked when it was issued")
        print(f"signed  certificate {said['number']}, {said['kind']} of {said['subject']}, {at}")
    return said


def climb(nodes, first, width, proof):
    """The root over `width` leaves of which `nodes` are those from `first` on."""
    proof = [bytes.fromhex(each) for each in reversed(proof)]
    while width > 1:
        if first % 2:
            nodes, first = [proof.pop(), *nodes], first - 1
        if (first + len(nodes)) % 2 and first + len(nodes) < width:
            nodes = [*nodes, proof.pop()]
        single, pairs = nodes[len(nodes) // 2 * 2 :], zip(nodes[::2], nodes[1::2])
        nodes = [sha256(b"\1" + left + right).digest() for left, right in pairs] + single
        first, width = first // 2, (width + 1) // 2
    return nodes[0] if len(nodes) == 1 and not proof else None


def leaf(row, meta):
    parts = [b"\0", row["meta"].encode("utf-8", "surrogateescape"), b"\n"]
    known = "\n" not in row["meta"] and row["meta"].count("\t") == len(meta) - 1
    for name, salt, *value in row["values"]:
        mark = bytes.fromhex(salt)
        known &= len(mark) == (16 if value else 32) and not {"\t", "\n"} & {*name}
        if value:
            mark = sha256(mark + value[0].encode("utf-8", "surrogateescape")).digest()
        parts += [name.encode("utf-8", "surrogateescape"), b"\t", mark, b"\n"]
    return sha256(b"".join(parts)).digest() if known else b""


class Evidence:
    def __init__(self, archive, options):
        self.zip, self.options, self.at, self.whole = archive, options, "manifest.json", set()
        self.blocks, self.anchored, self.hashes, self.sure = {}, {}, {}, {}

    def lines(self, name):
        digest = sha256()
        for number, line in enumerate(self.zip.open(name), 1):
            self.at = f"{name}, line {number}"
            digest.update(line)
            yield line
        self.hashes[name] = digest.hexdigest()

    def content(self, name):
        return b"".join(self.lines(name))

    def verify(self):
        said = self.manifest = (document := json.loads(self.content("manifest.json")))["manifest"]
        check(said["format"] == "custody-evidence/1", "manifest.json is of another format")
        print(f"made    {said['made_at']} by {said['organisation']}")
        print("asked  ", ", ".join(f"{k} {v}" for k, v in sorted(said["asked"].items()) if v))
        listed, own = json.loads(self.content("keys.json")), said["key_id"]
        public = {each["key_id"]: each["public_key"] for each in listed["keys"]}
        self.keys = Keys(public, listed["statements"], own, self.options.key)
        self.keys.signed(said, document["signature"], own, "manifest.json")
        self.headers()
        self.anchors("anchors.jsonl", self.lines("anchors.jsonl"))
        if self.options.anchors:
            self.anchors(self.options.anchors, Path(self.options.anchors).read_bytes().splitlines())
        if said["blocks"] not in self.anchored:
            notes.append("no anchor names the last block: who has the key could make it anew")
        for key, since in self.keys.leaked.items():
            self.sure[key] = max([n for n, at in self.anchored.items() if at < since], default=0)
            notes.append(f"key {key} leaked: blocks after {self.sure[key]} rest on it alone")
        for name in sorted(said["members"]):
            if name.startswith("rows/"):
                self.rows(name, name[5:-6])
            if name.startswith("certificates/"):
                certificate(name, self.content(name), self.keys)
        for source, first, last in said["complete"]:
            for number in range(first, last + 1):
                for place, each in self.blocks[number][3].items():
                    there = each[0] != source or (number, place) in self.whole
                    check(there, f"{source}: rows of block {number}, said to be whole, are missing")
            print(f"whole   blocks {first} to {last} of {source}")
        self.members()

    def headers(self):
        number, previous, alike = 0, "0" * 64, {}
        for line in self.lines("headers.jsonl"):
            document, number = json.loads(line), number + 1
            text, head = document["header"].encode(), json.loads(document["header"])
            if not check(head["number"] == number, f"block {number} is missing from the headers"):
                number, previous = head["number"], head["previous"]
            self.keys.signed(text, document["signature"], head["key_id"], f"block {number}: header")
            follows = (head["previous"], head["chain"]) == (previous, self.manifest["chain"])
            check(follows, f"block {number} does not follow the header before it")
            previous, first, sections = sha256(text).hexdigest(), 0, {}
            for place, each in enumerate(head["sections"]):
                meta = alike.setdefault(str(each["meta"]), each["meta"])
                if f"rows/{each['source']}.jsonl" in self.manifest["members"]:
                    sections[place] = (each["source"], each["leaves"], first, meta)
                first += each["leaves"]
            root, key = bytes.fromhex(head["root"]), head["key_id"]
            self.blocks[number] = (previous, root, first, sections, key)
        check(number == self.manifest["blocks"], f"the headers end with block {number}, too early")
        print(f"headers {len(self.blocks)}, from the first block on")

    def anchors(self, name, lines):
        found, as_of = {}, moment(self.manifest["as_of"]).replace(microsecond=0)
        for line, text in enumerate(lines, 1):
            document = json.loads(text)
            said, where = document["anchor"], f"{name}, line {line}"
            number, at = said["number"], moment(said["at"])
            if number > self.manifest["blocks"] and at >= as_of:
                continue  # Of later than the evidence.
            check(said["chain"] == self.manifest["chain"], f"{where} is of another log")
            what = {"format": "custody-anchor/1", **said}
            self.keys.signed(what, document["signature"], said["key_id"], where)
            if said["kind"] == "rewound":
                found = {n: each for n, each in found.items() if n <= number}
                notes.append(f"put back to block {number}, {at}, {said['by']}: {said['reason']}")
            else:
                found[number] = (said["hash"], at, where)
        for number, (mark, at, where) in found.items():
            if check(number in self.blocks, f"{where}: the anchored block {number} is not there"):
                said = f"{where}: block {number} was another one when it was anchored"
                check(mark == self.blocks[number][0], said)
                self.anchored[number] = min(at, self.anchored.get(number, at))
        print(f"anchors {len(found)} in {name}")

    def rows(self, name, source):
        last, hashes, tally, doubted = (), {}, {}, 0
        for line in self.lines(name):
            row = json.loads(line)
            at, place = (row["block"], row["section"]), row.get("leaf")
            _, root, width, sections, key = self.blocks[at[0]]
            of, leaves, first, meta = sections[at[1]]
            if place is None:  # All leaves of a section; its rows follow.
                hashes = {at: [bytes.fromhex(each) for each in row["leaves"]]}
                whole = climb(hashes[at], first, width, row["proof"]) == root
                check(whole and len(hashes[at]) == leaves, f"{self.at}: not the block's hashes")
                continue
            found, what = leaf(row, meta), f"{meta[0]} {row['meta'].split(chr(9))[0]}"
            same = of == source and 0 <= place < leaves and (at, place) > last
            top = climb([found], first + place, width, row["proof"]) if "proof" in row else found
            same = same and top == (root if "proof" in row else hashes[at][place])
            check(same, f"{self.at}: {what} of block {at[0]} was changed, or added: not as sealed")
            last, tally[at] = (at, place), tally.get(at, 0) + 1
            doubted += at[0] > self.sure.get(key, at[0])
        count, told = sum(tally.values()), self.manifest["counts"].get(source)
        check(count == told, f"{name} has {count} rows instead of {told}")
        check(not doubted, f"{name}: {doubted} rows rest on a key that had leaked")
        self.whole |= {at for at in tally if tally[at] == self.blocks[at[0]][3][at[1]][1]}
        print(f"rows    {count} of {source}")

    def members(self):
        names, members = self.zip.namelist(), self.manifest["members"]
        for name in sorted({*names, *members} - {"manifest.json"}):
            if check(names.count(name) == 1 and name in members, f"{name}: missing or added"):
                read = name in self.hashes or sum(map(len, self.lines(name)))
                check(read and self.hashes[name] == members[name]["sha256"], f"{name} was changed")


def documents(paths, options):
    """Certificates, and then manifests of archives, whose hashes certificates name."""
    contents, certified = {path: Path(path).read_bytes() for path in paths}, {}
    for path in sorted(paths, key=lambda each: b'"certificate"' not in contents[each]):
        said, digest = json.loads(contents[path]), sha256(contents[path]).hexdigest()
        if "certificate" in said:
            key = said["certificate"]["key_id"]
            keys = Keys({key: said["public_key"]}, [], key, options.key)
            body = certificate(path, contents[path], keys)["body"]
            named = [body.get("archive"), *body.get("archives_of_what_went_along", [])]
            certified.update({each["name"]: each["manifest_sha256"] for each in named if each})
            continue
        check(said["layout"]["format"] == "custody-archive/1", f"{path} is of another format")
        rows = sum(part["rows"] for part in said["parts"])
        check(rows == said["rows"], f"{path}: its parts have {rows} rows, not {said['rows']}")
        if said["archive"] not in certified:
            notes.append(f"nothing signs {path}: give the purge's certificate too")
        elif certified[said["archive"]] != digest:
            wrong.append(f"{path} is not the manifest that the certificate names: it was changed")
        for part in said["parts"]:
            file = Path(options.parts or Path(path).parent, Path(part["file"]).name)
            if file.is_file() and sha256(file.read_bytes()).hexdigest() != part["sha256"]:
                wrong.append(f"{file} is not what was written: it was changed")
            check(file.is_file() or not options.parts, f"{file} is missing: {part['rows']} rows")
            print(f"part    {file}, {part['rows']} rows; looked at: {file.is_file()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--key", help="public key or fingerprint, or a file with it")
    parser.add_argument("--anchors", metavar="FILE", help="anchors that you kept")
    parser.add_argument("--parts", metavar="FOLDER", help="where the parts of archives are")
    options, evidence = parser.parse_args(), None
    if options.key and Path(options.key).is_file():
        options.key = Path(options.key).read_text()
    zips = [path for path in options.files if zipfile.is_zipfile(path)]
    try:
        for path in zips:
            evidence = Evidence(zipfile.ZipFile(path), options)
            evidence.verify()
        documents([path for path in options.files if path not in zips], options)
    except Exception as error:  # What was changed may fail in any way.
        wrong.append(f"{evidence and evidence.at}: it cannot be read any further: {error!r}")
    for kind, lines in (("note   ", notes), ("wrong  ", wrong)):
        print(*(f"{kind} {each}\n" for each in lines[:30]), sep="", end="")
    right = "YES, but mind the notes." if notes else "YES: it is what was sealed and signed."
    print(f"NO: {len(wrong)} wrong." if wrong else right)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
