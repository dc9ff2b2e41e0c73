"""Invented rows for each real task, in the schema of its hub data set; apart where the paper read another one."""

from typing import Any

Rows = list[dict[str, Any]]

_SOCIALIQA = [
    {
        "id": "validation-0",
        "context": "Mirel lent  her ladder to the new neighbour and helped him carry it home.",
        "question": "How would you describe Mirel?",
        "answerA": "annoyed",
        "answerB": "helpful",
        "answerC": "out of breath",
        "label": "2",
    },
    {
        "id": "validation-1",
        "context": "Jorun forgot the bread in the oven.",
        "question": "What will happen to Jorun?",
        "answerA": "smell smoke",
        "answerB": "buy an oven",
        "answerC": "go sailing",
        "label": "1",
    },
    {
        "id": "validation-2",
        "context": "Tavi gave the last plum to Oda.",
        "question": "Why did Tavi do this?",
        "answerA": "to sell it",
        "answerB": "to plant it",
        "answerC": "to please Oda",
        "label": "3",
    },
]
_SCIQ = [
    {
        "id": "validation-0",
        "question": "Which part of a lantern keeps the wind away from the flame?",
        "distractor1": "wick",
        "distractor2": "handle",
        "distractor3": "oil",
        "correct_answer": "glass",
        "support": "A lantern burns oil at its wick. The glass around it keeps the wind away {from} the flame.",
    },
    {
        "id": "validation-1",
        "question": "What turns the sails of a mill?",
        "distractor1": "rain",
        "distractor2": "snow",
        "distractor3": "fog",
        "correct_answer": "wind",
        "support": "",
    },
    {
        "id": "validation-2",
        "question": "What do bees make from nectar?",
        "distractor1": "wax",
        "distractor2": "milk",
        "distractor3": "silk",
        "correct_answer": "honey",
        "support": "Bees carry nectar to the hive. There it becomes honey.",
    },
]
_NEWS = [
    ("A ferry ran  aground near Vell on Monday.\nNobody was hurt.", "A ferry has run aground near Vell."),
    ("The old mill of Brun is for sale. It has no roof.", "A mill without a roof is for sale."),
    ("Snow closed the pass at Orm. It opens on Friday.", "Snow has closed the pass at Orm."),
]
_PAIRS = [
    ("The mill at Brun has  a roof.", "The mill has no roof."),
    ("Oda ate a plum.", "Oda ate fruit."),
    ("Jorun went sailing.", "Jorun went sailing with Tavi."),
]
_ALIKE = [
    ("Oda gave Tavi  a plum.", "Tavi gave Oda a plum."),
    ("The ferry left Vell at noon.", "At noon the ferry left Vell."),
    ("The pass is closed.", "The pass at Orm is open."),
]
_ARC = [
    {
        "id": "Invented_1",
        "question": "Which tool is used to measure the length of a room?",
        "choices": {"text": ["a scale", "a tape", "a thermometer", "a clock"], "label": ["1", "2", "3", "4"]},
        "answerKey": "2",
    },
    {
        "id": "Invented_2",
        "question": "Which of these is a liquid?",
        "choices": {"text": ["ice", "steam", "milk"], "label": ["A", "B", "C"]},
        "answerKey": "C",
    },
    {
        "id": "Invented_3",
        "question": "What does a seed need to sprout?",
        "choices": {"text": ["water", "sand", "salt", "wind"], "label": ["A", "B", "C", "D"]},
        "answerKey": "A",
    },
]

ROWS: dict[str, Rows] = {
    "socialiqa_question": _SOCIALIQA,
    "sciq_question": _SCIQ,
    "sciq_choice": _SCIQ,
    "tweetqa_question": [
        {"qid": "q0", "Tweet": "Ferry  aground again. Vell (@vell) March 3, 2015", "Answer": ["a ferry", "the ferry"],
         "Question": "what is aground?"},
        {"qid": "q1", "Tweet": "No bread today, the oven is out.", "Answer": ["the oven"], "Question": "what is out?"},
        {"qid": "q2", "Tweet": "Plums for all!", "Answer": ["plums"], "Question": "what is there for all?"},
    ],
    "xsum": [{"id": str(30 + i), "document": text, "summary": summary} for i, (text, summary) in enumerate(_NEWS)],
    "xlsum": [
        {"id": f"world-{i}", "url": f"https://example.org/{i}", "title": "News", "text": text, "summary": summary}
        for i, (text, summary) in enumerate(_NEWS)
    ],
    "cnn": [
        {"id": f"0f{i}", "article": text, "highlights": summary + "\nMore to follow ."}
        for i, (text, summary) in enumerate(_NEWS)
    ],
    "mnli": [
        {"id": f"train-{i}", "premise": a, "hypothesis": b, "label": (2, 0, 1)[i], "idx": i}
        for i, (a, b) in enumerate(_PAIRS)
    ],
    "rte": [
        {"id": f"train-{i}", "sentence1": a, "sentence2": b, "label": (1, 0, 1)[i], "idx": i}
        for i, (a, b) in enumerate(_PAIRS)
    ],
    "gpt3nli": [
        {"id": f"train-{i}", "text_a": a, "text_b": b, "label": (2, 0, 1)[i], "guid": i}
        for i, (a, b) in enumerate(_PAIRS)
    ],
    "paws": [
        {"id": i + 1, "sentence1": a, "sentence2": b, "label": (0, 1, 0)[i]} for i, (a, b) in enumerate(_ALIKE)
    ],
    "qqp": [
        {"id": f"train-{i}", "question1": a, "question2": b, "label": (0, 1, 0)[i], "idx": i}
        for i, (a, b) in enumerate(_ALIKE)
    ],
    "stsb": [
        {"id": f"train-{i}", "sentence1": a, "sentence2": b, "label": (3.5, 4.8, 1.0)[i], "idx": i}
        for i, (a, b) in enumerate(_ALIKE)
    ],
    "tulu": [
        {
            "dataset": "invented",
            "id": "invented_0",
            "messages": [
                {"role": "system", "content": "Be brief. "},
                {"role": "user", "content": "Name a fruit."},
                {"role": "assistant", "content": " A plum."},
                {"role": "user", "content": "And a tool?\n"},
                {"role": "assistant", "content": "A tape:\n1 metre long."},
            ],
        },
        {
            "dataset": "invented",
            "id": "invented_1",
            "messages": [
                {"role": "user", "content": "Is the pass open?"},
                {"role": "assistant", "content": "No."},
            ],
        },
        {
            "dataset": "invented",
            "id": "invented_2",
            "messages": [
                {"role": "user", "content": "Who sails?"},
                {"role": "assistant", "content": "Jorun."},
                {"role": "user", "content": "Thanks."},
            ],
        },
    ],
    "boolq": [
        {"id": "validation-0", "question": "is a tarn a kind of lake", "answer": True,
         "passage": "A tarn is a small lake in a hollow that a glacier left behind."},
        {"id": "validation-1", "question": "do mills have sails", "answer": True,
         "passage": "A windmill has four sails."},
        {"id": "validation-2", "question": "is a plum a tool", "answer": False, "passage": "A plum is a fruit."},
    ],
    "arc_easy": _ARC,
    "arc_challenge": _ARC,
    "openbookqa": [
        {
            "id": "0-1",
            "question_stem": "A puddle gets smaller on a hot day because its water",
            "choices": {"text": ["evaporates", "melts", "freezes", "rusts"], "label": ["A", "B", "C", "D"]},
            "answerKey": "A",
        },
        {
            "id": "0-2",
            "question_stem": "A magnet pulls",
            "choices": {"text": ["paper", "wood", "wool", "iron"], "label": ["A", "B", "C", "D"]},
            "answerKey": "D",
        },
        {
            "id": "0-3",
            "question_stem": "What do plants need?",
            "choices": {"text": ["noise", "light", "salt", "coal"], "label": ["A", "B", "C", "D"]},
            "answerKey": "B",
        },
    ],
    "hellaswag": [
        {
            "id": "validation-0",
            "ind": 4,
            "activity_label": "Sailing",
            "ctx_a": "A man unties a boat.",
            "ctx_b": "he",
            "ctx": "A man unties a boat. he",
            "endings": ["eats the sail.", "pushes off from the pier.", "paints a wall.", "sings to a goat."],
            "source_id": "activitynet~v_invented0",
            "split": "val",
            "split_type": "indomain",
            "label": "1",
        },
        {
            "id": "validation-1",
            "ind": 9,
            "activity_label": "Food and Entertaining",
            "ctx_a": "[header] How to bake bread [title] Knead the dough. [step] Use both hands. [title] Wait.",
            "ctx_b": "",
            "ctx": "[header] How to bake bread [title] Knead the dough. [step] Use both hands. [title] Wait.",
            "endings": [
                "[step] Let it rise for an hour.",
                "[step] Throw it away. [title] Go home.",
                "[substeps] Read a book.",
                "[step] Wash the car.",
            ],
            "source_id": "wikihow~invented1",
            "split": "val",
            "split_type": "zeroshot",
            "label": "0",
        },
        {
            "id": "validation-2",
            "ind": 11,
            "activity_label": "Baking bread",
            "ctx_a": "A woman opens the oven.",
            "ctx_b": "she",
            "ctx": "A woman opens the oven. she",
            "endings": ["takes out a loaf.", "rides a horse.", "closes a bank.", "reads a map."],
            "source_id": "activitynet~v_invented2",
            "split": "val",
            "split_type": "indomain",
            "label": "0",
        },
    ],
}  # fmt: skip

PAPER_ROWS: dict[str, Rows] = {
    **ROWS,
    "qqp": [
        {"id": f"test-{i}", "text1": a, "text2": b, "label": -1, "idx": i, "label_text": "unlabeled"}
        for i, (a, b) in enumerate(_ALIKE)
    ],
    "stsb": [
        {"id": f"test-{i}", "text1": a, "text2": b, "label": -1.0, "idx": i, "label_text": "-1.0"}
        for i, (a, b) in enumerate(_ALIKE)
    ],
    "boolq": [
        {"id": "validation-0", "question": "is a tarn a kind of lake", "label": 1, "idx": 0,
         "passage": "Tarn -- A tarn is a small lake in a hollow that a glacier left behind."},
        {"id": "validation-1", "question": "do mills have sails", "label": 1, "idx": 1,
         "passage": "Windmill -- A windmill has four sails."},
        {"id": "validation-2", "question": "is a plum a tool", "label": 0, "idx": 2,
         "passage": "Plum -- A plum is a fruit."},
    ],
}  # fmt: skip
"""Rows as the paper's protocol reads them: three of its sets come from other repositories."""
