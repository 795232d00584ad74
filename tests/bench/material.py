"""What the benchmark feeds in: seeded cases that look like real ones, and clips that are all different."""

import io
import wave
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

from mondegreen.events import Event, make_event, timestamp

START = datetime(2026, 1, 1, tzinfo=UTC)
RATE = 16_000

_WORDS = {
    "en": {
        "do": "play|call|open|close|find|show|move|copy|send|book|buy|cancel|remind|ask|tell|follow|record|skip|repeat|"
        "answer|forward|rename|translate|measure|water|feed|wake|paint",
        "what": "song|door|letter|meeting|window|ticket|recipe|photo|garden|invoice|river|station|lamp|dinner|parcel|"
        "playlist|bridge|report|flight|kettle|ladder|harbour|sweater|novel|candle|engine|forest",
        "like": "red|quiet|second|cheap|early|heavy|bright|last|broken|wooden|empty|gentle|narrow|new|friendly|"
        "northern|sweet|frozen|hidden|rusty|yellow",
        "who": "my mother|doctor lee|the neighbours|uncle ray|anna|peter and paul|the new manager|our teacher|grandpa|"
        "mister brown|the night shift|somebody in sales|claire",
        "where": "in the kitchen|at the corner|near the old mill|on the second floor|behind the school|by the sea|"
        "at the airport|in the hall|under the stairs|across the street|beside the fountain|on the platform",
        "when": "tomorrow morning|on friday|at half past seven|next week|before lunch|at noon|right now|after the game|"
        "on monday night|in an hour|at midnight|every sunday",
        "join": "and then|because|but first|so that|while|although|before you",
    },
    "de": {
        "do": "spiele|öffne|schließe|suche|zeige|verschiebe|sende|kaufe|wiederhole|übersetze|kündige|lösche",
        "what": "das Lied|die Tür|den Brief|die Straße|das Fenster|den Schlüssel|die Rechnung|das Frühstück",
        "like": "rot|leise|billig|früh|schwer|hell|kaputt|süß|gelb|schön",
        "who": "meine Mutter|Doktor Weiß|die Nachbarn|Onkel Jürgen|Anna|der neue Chef|unser Lehrer|Opa",
        "where": "in der Küche|an der Ecke|im zweiten Stock|hinter der Schule|am Flughafen|unter der Treppe",
        "when": "morgen früh|am Freitag|um halb acht|nächste Woche|vor dem Essen|jetzt|am Montag",
        "join": "und dann|weil|aber zuerst|damit|während|obwohl",
    },
}
WORDS = {language: {slot: words.split("|") for slot, words in slots.items()} for language, slots in _WORDS.items()}
SOUNDS_LIKE = {
    "the": "a", "sky": "guy", "sea": "see", "right": "write", "new": "knew", "two": "to", "four": "for", "eight": "ate",
    "mail": "male", "flight": "fright", "door": "floor", "letter": "ladder", "song": "sung", "room": "broom",
    "anna": "hannah", "night": "knight", "week": "weak", "red": "read", "das": "dass", "den": "denn", "im": "in",
}  # fmt: skip
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
MISTAKES = {
    "substitution": 58, "deletion": 13, "insertion": 8, "boundary": 4, "number": 5, "truncation": 4, "casing": 3,
    "empty": 2, "loop": 1, "silence": 1, "noise": 1,
}  # fmt: skip


def events(seed: int, count: int, speakers: int) -> Iterator[Event]:
    """Yield the events of `count` cases without audio: a failure each, and mostly one correction, rarely two or none.

    A few speakers say much and most say little; a recording holds about five cases. The same seed, the same events;
    of another seed all are others.
    """
    random = Random(seed)
    for number in range(count):
        speaker = int(speakers * random.random() ** 2)
        language = "de" if speaker % 10 == 9 else "en"
        mistake = random.choices(list(MISTAKES), MISTAKES.values())[0]
        said = "" if mistake == "silence" else sentence(random, language)
        seconds = max(1.0, len(said.split()) / 2.5)
        start, case_id = round(random.uniform(0, 3000), 2), f"case-{seed}-{number:07d}"
        yield _event(
            "failure",
            seed,
            number,
            case_id=case_id,
            original_transcript=misheard(random, said, mistake),
            error_types=[mistake] if random.random() < 0.5 else [],
            error_score=round(random.random(), 3) if random.random() < 0.8 else None,
            inference_time=round(random.lognormvariate(-1, 0.5), 3),
            model_confidence=round(random.betavariate(5, 2), 3),
            model_version=f"asr-{1 + number * 3 // count}",
            language=language,
            speaker_id=f"speaker-{speaker:05d}",
            recording_id=f"recording-{speaker:05d}-{random.randrange(4)}",
            start=start,
            end=round(start + seconds, 2),
            is_speech=False if mistake == "silence" else None,
        )
        for again in range(random.choices((1, 0, 2), (92, 5, 3))[0]):
            text = said if not again else said.capitalize()
            method = random.choices(("manual", "user_feedback", "model:big"), (80, 15, 5))[0]
            author = f"author-{random.randrange(12)}"
            yield _event(
                "correction",
                seed,
                number,
                again + 1,
                case_id=case_id,
                corrected_transcript=text,
                method=method,
                author=author,
                is_speech=None if text else False,
            )


def _event(kind: str, seed: int, number: int, step: int = 0, **fields: object) -> Event:
    instant = timestamp(START + timedelta(days=seed, seconds=number, minutes=step))
    return make_event(kind, event_id=f"{seed:02d}-{number:09d}-{step}-{kind}", recorded_at=instant, **fields)


def sentence(random: Random, language: str) -> str:
    """Return a command of about 4 to 25 words."""
    words, parts = WORDS[language], []
    for clause in range(random.choices((1, 2, 3), (6, 3, 1))[0]):
        parts += [random.choice(words["join"])] if clause else []
        parts += [random.choice(words["do"]), random.choice(words["like"]), random.choice(words["what"])]
        parts += [str(random.randrange(1, 400))] if random.random() < 0.15 else []
        parts += [random.choice(NUMBERS)] if random.random() < 0.15 else []
        parts += [random.choice(words[slot]) for slot in ("who", "where", "when") if random.random() < 0.5]
    text = " ".join(parts)
    return text[0].upper() + text[1:] + random.choice(("", ".", ".", "?", "!"))


def misheard(random: Random, said: str, mistake: str) -> str:
    """Return what a recogniser that makes this kind of `mistake` turns `said` into."""
    words = said.lower().strip(".?!").split()
    at = random.randrange(len(words)) if words else 0
    match mistake:
        case "empty":
            return ""
        case "silence":
            return random.choice(("thank you for watching", "you", "okay", "bye bye"))
        case "casing":
            return said.upper()
        case "truncation":
            return " ".join(words[: max(1, len(words) * 2 // 3)])
        case "loop":
            return " ".join(words + words[-2:] * 6)
        case "number":
            return " ".join(NUMBERS[int(word) % 13] if word.isdigit() else word.replace("two", "2") for word in words)
        case "deletion":
            return " ".join(word for word in words if random.random() > 0.2) or words[0]
        case "insertion":
            return " ".join([*words[:at], random.choice(("uh", "the", "and", "a")), *words[at:]])
        case "boundary":
            return " ".join([*words[:at], "".join(words[at : at + 2]), *words[at + 2 :]])
        case "noise":
            return " ".join(random.sample(words, len(words)))
        case _:
            for place in random.sample(range(len(words)), min(len(words), random.choice((1, 1, 2, 3)))):
                words[place] = SOUNDS_LIKE.get(words[place]) or random.choice(WORDS["en"]["what"])
            return " ".join(words)


def clip(random: Random, size: int) -> bytes:
    """Return a WAV of `size` bytes of noise at 16 kHz: no two are alike."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(random.randbytes((size - 44) // 2 * 2))
    return file.getvalue()
