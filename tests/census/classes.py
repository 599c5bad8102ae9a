"""What becomes of a canary at each position: the hand-kept classes."""

import tomllib


class Classes:
    """By surface and class: of each type its members, or `*` for all. A member may have its marks, where it has two classes by
    them. What stands below a refused member is refused. A class given to `member/*` is that of all below, whatever it is."""

    def __init__(self, tables):
        self.reasons = tables.pop("reasons")
        self.entries, self.used, self.missing = {}, set(), []
        for dialect, sides in tables.items():
            for side, classes in sides.items():
                for name, types in classes.items():
                    for kind, members in types.items():
                        for member in members.split():
                            self._add((f"{dialect}.{side}", kind, member), name)

    @classmethod
    def read(cls, path):
        return cls(tomllib.loads(path.read_text()))

    def _add(self, key, name):
        if name not in ("judged", "word", "dropped") and name not in self.reasons:
            raise ValueError(f"{'.'.join(key)}: no such class: {name}")
        if key in self.entries:
            raise ValueError(f"{'.'.join(key)} has two classes")
        self.entries[key] = name

    def of(self, surface, position):
        found = None
        for kind, member, marks in position.steps:
            entries = [(surface, kind, name) for name in (member + marks, member, "*")]
            below = (surface, kind, f"{member}/*")
            if below in self.entries:
                self.used.add(below)
                return {"class": self.entries[below]}
            key = next((key for key in entries if key in self.entries), None)
            if key is None:
                found = None
                continue
            self.used.add(key)
            found = self.entries[key]
            if found in self.reasons:
                return {"class": "refused", "why": self.reasons[found]}
        if found is None:
            self.missing.append(f"{surface}: no class for {position.at}")
            return {"class": "none"}
        return {"class": found}

    def problems(self):
        unused = sorted(".".join(key) for key in self.entries.keys() - self.used)
        return self.missing + [f"classes.toml: nothing is at {name}" for name in unused]
