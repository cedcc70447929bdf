#!/usr/bin/env python3
"""Checks comments, documentation and messages for phrases that make them hard to read.

    tests/prose/check.py [PATH ...]

Prints `file:line: phrase (what to write instead)` for each finding. Exits with 1 if there are findings. A PATH is a
file or a folder. Without a PATH, the program checks all files that git tracks. It needs only Python's standard
library.
"""

import re
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from texts import blocks

ROOT = Path(__file__).resolve().parents[2]

# Phrases, and what to write instead. A phrase is a regular expression in which a space matches any white space. Case is
# ignored.
PHRASES = {
    r"so (?:many|few)": "give the number, or write `as many … as`",
    r"for so long": "give the time",
    r"(?:that|it|this|which|one) tells|tells (?:that|how|what|the|a|which|whether)|telling (?:that|how|what|the|which)": "reports, shows, says",
    r"(?:is|are|was|were|be|been|being|not|as|only) told|told (?:apart|that|which|what|how|to|of|by|in|from|the)": "reported, distinguished",
    r"whoever": "name the subject: the client, the caller",
    r"who has gone|who is gone|who asks|who asked|who waits|who has waited": "the client, the waiting request",
    r"(?:than|as|is|are|and|to|of|with|by|in|for|from|at|or|,|:) that of": "repeat the noun",
    r"of which": "split the sentence",
    r"(?:is|are|was|were|be|that|there) (?-i:none)": "if … is `None`, is not a …",
    r"at the (?:least|most)": "at least, at most",
    r"what takes (?:long|longer|little|time|so|more|less)": "slow predictions",
    r"as (?:it|they) comes?": "say what happens",
    r"(?:is|are|was|were|be|been) seen to|sees? to it": "is tested to, ensures",
    r"expected [^.;]{1,60}, but": "expected …, found …",
    r"but found": "expected …, found …",
    r"(?:to|can|has) say for (?:it|them)sel(?:f|ves)": "describe what it provides",
    r"(?:is|are|was|were|be|been|being) (?:asked|answered)(?! for)": "is requested, is sent, receives a response",
    r"(?:asked|answered) (?:for|alone|with|by|in|at|again)": "requested, sent",
    r"(?:the|a|each|every|one|this|that|its|no|both|all|of|two|to|per) questions?(?! mark)": "request",
    r"(?:the|an|each|every|one|this|its|no|per|whose|as) answer|(?:the|its|their|no|both|all|two|of) answers": "response",
    r"(?:a|the|no|its|whose|each|every|any|one|of|that) (?:faults?|mistakes?)(?! (?:in|tolerance))": "error",
    r"held (?:bytes|body|bodies)|bytes held": "buffered",
    r"(?:the|a|its|client's) wish(?:es)?": "response options",
    r"(?:fast|short|slow|quick|other|same|the|a|this|that) road": "path",
    r"(?:the|a|as|of|its|with) filling": "fill value",
    r"(?:is|are|was|were|been|be) given up|gives up|given-up": "timed out, abandoned",
    r"(?:no|a|free|the) place (?:for (?:it|a|the|another)|in the)|(?:is|there is|was) no place": "slot, at capacity",
    r"(?:is|are|was|were|be) picked(?! up)": "is gathered, is selected",
    r"nobody (?:waits|is told|asks)|somebody": "name the subject",
    r"heavy (?:predictions?|requests?|models?|work|tasks?)": "slow prediction",
    r"in the place of": "instead of",
    r"to be written down|(?:is|are) written down": "is serialized",
    r"next to nothing": "give the figure",
    r"goes? by the name": "is called",
    r"or (?:else )?no(?: |ne )two were": "say what it ensures",
    # American spelling, as in the code.
    r"\w*(?:optimi|seriali|recogni|normali|initiali|quanti|finali|minimi|maximi|summari|vectori|synchroni|organi"
    r"|speciali|utili|customi|visuali|categori|standardi|prioriti|emphasi|materiali|parametri|tokeni|randomi"
    r"|generali|equali|capitali|memori|penali|reali)(?:s(?:e|es|ed|ing|ation|ations|er|ers|able))(?<!emphasis)": "American spelling: -ize",
    r"\w*(?:behaviour|colour|neighbour|favour|honour|labour|flavour)\w*": "American spelling: -or",
    r"\w*(?:licence|centre|cancelling|labelled|labelling|modelled|modelling|catalogue|artefact)\w*": "American spelling",
}

# No doc comment may begin with these words. A doc comment begins with a noun phrase or a verb in the third person.
BEGINNINGS = re.compile(
    r"\s*(?:[-*] )?(Of|That|Where|Who|Whoever|Whom|Whose|Whether|What|Which|As|Those|So (?:many|much|few|long)|"
    r"How (?:many|much)|The same,)(?=[\s,])"
)
# No sentence of a comment may begin with these words, unless the sentence is a question.
SENTENCES = re.compile(
    r"(?:\A\s*|(?<=[.!?:;])\s+)(Who|Whom|Where|Whether|Of which|Those (?:who|that)|So (?:many|much|few))"
    r"(?=\s[^.!?]*[.!])"
)
ERRORS = re.compile(r"#+ Errors\s*\n\s*\n?\s*(?!Returns |Fails )(\S[^\n]{0,30})")

# Files that contain data, or text by other authors.
SKIPPED = (
    "LICENSE*",
    "*.lock",
    "*.onnx",
    "*.pb",
    "*.svg",
    "*.npz",
    "*.safetensors",
    "*.tar*",
    "fuzz/corpus/*",
    "fuzz/dictionaries/*",
    "build/order.ld",
    "tests/cases/*.json",
    "tests/cases/*.csv",
    "tests/cases/*.http",
    "tests/cases/*.response",
    "tests/prose/*",
)

# Findings that are not reported: the file, the phrase, and the reason to keep the phrase.
ALLOWED = (
    ("crates/model/src/source.rs", "optimise", "a label of ml_app_start_seconds, on which dashboards depend"),
    ("tests/api/golden*.rs", "colour", "a feature of the model in tests/cases/pipeline"),
    ("tests/cases/pipeline/generate.py", "colour", "a feature of the model"),
)


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    phrase: str
    advice: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.phrase} ({self.advice})"


def _phrase_pattern():
    """Joins all phrases into one regular expression. In this expression, a space also matches a line break."""
    parts = [f"(?P<p{index}>{phrase})" for index, phrase in enumerate(PHRASES)]
    return re.compile(r"(?<![\w-])(?:" + "|".join(parts).replace(" ", r"\s+") + r")(?![\w-])", re.IGNORECASE)


PATTERN = _phrase_pattern()
ADVICE = list(PHRASES.values())


def findings(path, source):
    """Returns the findings in one file."""
    found = []
    for block in blocks(path, source):
        text = block.text
        for match in PATTERN.finditer(text):
            advice = ADVICE[int(match.lastgroup[1:])]
            found.append(Finding(path, block.line_at(match.start()), _shown(match.group()), advice))
        if block.kind in ("doc", "comment"):
            found += _sentence_findings(path, block, text)
    return sorted((finding for finding in found if not _is_allowed(finding)), key=lambda finding: finding.line)


def _sentence_findings(path, block, text):
    begins = {}
    if block.kind == "doc" and (match := BEGINNINGS.match(text)):
        begins[match.start(1)] = match[1]
    begins |= {match.start(1): match[1] for match in SENTENCES.finditer(text)}
    for offset, word in begins.items():
        yield Finding(path, block.line_at(offset), f"{word} …", "begin with a noun phrase, a verb, or `If`")
    if block.kind == "doc":
        for match in ERRORS.finditer(text):
            yield Finding(
                path, block.line_at(match.start(1)), f"# Errors: {_shown(match[1])}", "Returns an error if …"
            )


def _shown(text):
    """Returns the text on one line. Each run of backticks, which stands for blanked code, becomes an ellipsis."""
    return re.sub("`+", "`…`", " ".join(text.split()))


def _is_allowed(finding):
    return any(fnmatch(finding.path, path) and finding.phrase == phrase for path, phrase, _ in ALLOWED)


def tracked(paths):
    """Returns the files below `paths` that git tracks or would add, except the files in `SKIPPED`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = sorted(set(listed.split("\0")) - {""})
    return [name for name in names if not any(fnmatch(name, pattern) for pattern in SKIPPED)]


def main(arguments):
    if any(argument.startswith("-") for argument in arguments):
        sys.exit(__doc__)
    paths = [str(Path(argument).resolve().relative_to(ROOT)) for argument in arguments]
    count = 0
    for name in tracked(paths):
        try:
            source = (ROOT / name).read_text()
        except (UnicodeDecodeError, FileNotFoundError):  # Binary data, or a deleted file that is still in git's index.
            continue
        for finding in findings(name, source):
            print(finding)
            count += 1
    if count:
        sys.exit(f"{count} findings")


if __name__ == "__main__":
    main(sys.argv[1:])
