"""What independent recognisers agree on is probably what was said."""

from collections import Counter, defaultdict

from mondegreen.correctors import Case, Suggestion
from mondegreen.correctors.recognisers import Recogniser, listen, recogniser
from mondegreen.text import normalise
from mondegreen.witnesses import family


class Consensus:
    """Adopts what two recognisers, neither of them the one that misheard the case, agree on: `model:consensus`.

    Versions of one recogniser have one voice (`witnesses.family`): they make the same mistakes. It takes what is
    recorded already (`transcripts` of the case); only where that leaves it open do the recognisers of its option
    listen, as in `consensus:faster-whisper/small,transformers/facebook/wav2vec2-base-960h`. They agree where `basic-1`
    makes their texts equal; the form that most of them write is kept. The confidence is the share of all voices, the
    mistaken one included, that agree: two of three are 0.67.
    """

    name = "consensus"
    method = "model:consensus"

    def __init__(self, option: str = "pocketsphinx") -> None:
        """Listen with the recognisers that `option` names, separated by commas; '' for none."""
        self._recognisers: list[Recogniser] = [recogniser(name.strip()) for name in option.split(",") if name.strip()]

    def suggest(self, case: Case, audio: bytes | None) -> Suggestion | None:
        """Return what two others agree on against the transcript; None where as many stand by another."""
        own = family(case.get("model_version"))
        heard = {family(model): text for model, text in sorted((case.get("transcripts") or {}).items())}
        heard.pop(own, None)
        found = self._agreed(case, heard)
        missing = [by for by in self._recognisers if family(by.name) not in {own, *heard}]
        if found is not None or len(heard) + len(missing) < 2:
            return found
        for by in missing:
            if (more := listen(by, audio, case.get("language"))) is not None:
                heard[family(by.name)] = more.text
        return self._agreed(case, heard)

    def _agreed(self, case: Case, heard: dict[str, str]) -> Suggestion | None:
        language = case.get("language")
        texts: defaultdict[str, list[str]] = defaultdict(list)
        for text in heard.values():
            texts[normalise(text, language)].append(text)
        own = 1 + len(texts.pop(normalise(case["original_transcript"], language), ()))
        ranked = sorted(texts, key=lambda words: (-len(texts[words]), words))
        if not ranked or not ranked[0] or len(texts[ranked[0]]) < 2:
            return None
        votes = len(texts[ranked[0]])
        if votes <= max(own, *(len(texts[words]) for words in ranked[1:]), 0):
            return None
        forms = Counter(texts[ranked[0]])
        form = min(forms, key=lambda text: (-forms[text], text))
        return Suggestion(form, votes / (len(heard) + 1), self.method)
