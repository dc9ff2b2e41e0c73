"""One invented row for each real task, in the schema of its hub data set."""

from typing import Any

ROWS: dict[str, dict[str, Any]] = {
    "socialiqa_question": {
        "id": "validation-0",
        "context": "Mirel lent  her ladder to the new neighbour and helped him carry it home.",
        "question": "How would you describe Mirel?",
        "answerA": "annoyed",
        "answerB": "helpful",
        "answerC": "out of breath",
        "label": "2",
    },
    "sciq_question": {
        "id": "validation-0",
        "question": "Which part of a lantern keeps the wind away from the flame?",
        "distractor1": "wick",
        "distractor2": "handle",
        "distractor3": "oil",
        "correct_answer": "glass",
        "support": "A lantern burns oil at its wick. The glass around it keeps the wind away {from} the flame.",
    },
    "boolq": {
        "id": "validation-0",
        "question": "is a tarn a kind of lake",
        "answer": True,
        "passage": "A tarn is a small lake in a hollow that a glacier left behind.",
    },
    "arc_easy": {
        "id": "Invented_1",
        "question": "Which tool is used to measure the length of a room?",
        "choices": {"text": ["a scale", "a tape", "a thermometer", "a clock"], "label": ["1", "2", "3", "4"]},
        "answerKey": "2",
    },
    "openbookqa": {
        "id": "0-1",
        "question_stem": "A puddle gets smaller on a hot day because its water",
        "choices": {"text": ["evaporates", "melts", "freezes", "rusts"], "label": ["A", "B", "C", "D"]},
        "answerKey": "A",
    },
}
