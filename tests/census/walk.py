"""Every position of a type at which a string may stand, each with a value that is valid and has the canary there alone."""

from dataclasses import dataclass

from shape import Anything, Each, Keyed, Nothing, Object, Plain, Text, shapes

#: Stands for the canary.
CANARY = "{canary}"
#: What stands for it in bytes: sixteen letters in base64.
CANARY_BYTES = b"canary-bytes"


@dataclass(frozen=True)
class Position:
    #: Steps from the root: a type, its member, and what follows (`[]` an element, `{}` a member's value, `{key}` its key).
    steps: tuple
    value: object
    #: What may well stand there.
    twin: str

    @property
    def at(self):
        return " ".join(f"{kind}.{member}{marks}" for kind, member, marks in self.steps)


class Walk:
    """`valid` gives types a smallest value that is valid, where the type alone does not say what is; `left_out` are members
        that never stand in the JSON; `as_type` says of a member what it really is; so many steps below a member of `shallow` an
    object has one position; `words` are what may stand in a member that takes no other string."""

    def __init__(self, valid=None, left_out=(), as_type=None, shallow=None, words=None):
        self.words = words or {}
        self.valid, self.left_out, self.as_type, self.shallow = valid or {}, set(left_out), as_type or {}, shallow or {}

    def positions(self, annotation):
        found, self.names = {}, {}
        for position in self._walk(annotation, (), ()):
            found.setdefault(position.at, position)
        return list(found.values())

    def least(self, annotation, on=()):
        """The smallest value."""
        options = [shape for shape in shapes(annotation)]
        for shape in options:
            if isinstance(shape, Nothing):
                return None
        for wanted in (Text, Plain, Each, Object, Keyed, Anything):
            for shape in options:
                if isinstance(shape, wanted) and shape not in on:
                    return self._least(shape, on)
        raise ValueError(f"nothing is small enough for {annotation!r}")

    def _least(self, shape, on):
        match shape:
            case Text(words, base64):
                return "AAAA" if base64 else words[0] if words else "a"
            case Plain(value):
                return value
            case Each() | Keyed():
                return [] if isinstance(shape, Each) else {}
            case Anything():
                return {}
            case Object():
                own = {
                    member.name: self.least(self._annotation(shape, member), on + (shape,))
                    for member in shape.members
                    if member.required and not self._is_left_out(shape, member)
                }
                return own | self.valid.get(shape.name, {})

    def _walk(self, annotation, on, path):
        """`path` is what leads here; the marks of its last step grow."""
        for shape in shapes(annotation):
            match shape:
                case Text(words, base64):
                    twin = self._word(path) or (words[0] if words else "AAAA" if base64 else "a")
                    yield Position(path, CANARY_BYTES if base64 else CANARY, twin)
                case Anything():
                    yield Position(path, CANARY, "a")
                    yield Position(_marked(path, "{}"), {"a": [CANARY]}, "a")
                    yield Position(_marked(path, "{key}"), {CANARY: True}, "a")
                case Each(element):
                    for inner in self._walk(element, on, _marked(path, "[]")):
                        yield Position(inner.steps, [inner.value], inner.twin)
                case Keyed(key, value):
                    keys = [shape for shape in shapes(key) if isinstance(shape, Text)]
                    word = keys[0].words[0] if keys and keys[0].words else "a"
                    yield Position(_marked(path, "{key}"), {CANARY: self.least(value, on)}, word)
                    for inner in self._walk(value, on, _marked(path, "{}")):
                        yield Position(inner.steps, {word: inner.value}, inner.twin)
                case Object():
                    yield from self._members(shape, on, path)

    def _members(self, shape, on, path):
        if on.count(shape.type) > 1:
            # A type within itself has been walked.
            return
        is_brief = shape.type in on or self._is_deep(path)
        for member in shape.members:
            if self._is_left_out(shape, member):
                continue
            annotation = self._annotation(shape, member)
            step = path + ((self.name(shape.type), member.name, ""),)
            for inner in self._walk(annotation, on + (shape.type,), step):
                whole = self._least(shape, ()) | {member.name: inner.value}
                yield Position(inner.steps, whole, inner.twin)
                # One position is enough: not the one that says which type it is, if there is another.
                if is_brief and member.name != "type" and isinstance(inner.value, str):
                    return

    def _word(self, path):
        return self.words.get(".".join(path[-1][:2])) if path else None

    def _is_deep(self, path):
        steps = [f"{kind}.{member}" for kind, member, _ in path]
        return any(len(path) - at > self.shallow[step] for at, step in enumerate(steps) if step in self.shallow)

    def name(self, kind):
        """A name for the type: its own, where its module is called so or the SDK has one module for all."""
        module, own = kind.__module__.rpartition(".")[2], kind.__qualname__.replace(".", "-")
        is_own = own.lower().startswith(module.replace("_", "").lower()) or module in ("types", "_types")
        name = own if is_own else f"{module}:{own}"
        if self.names.setdefault(name, kind) is not kind:
            raise ValueError(f"two types are called {name}")
        return name

    def _annotation(self, shape, member):
        return self.as_type.get(f"{shape.name}.{member.name}", member.annotation)

    def _is_left_out(self, shape, member):
        return f"{shape.name}.{member.name}" in self.left_out


def _marked(path, mark):
    if not path:
        return (("", "", mark),)
    kind, member, marks = path[-1]
    return path[:-1] + ((kind, member, marks + mark),)
