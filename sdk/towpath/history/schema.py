"""The tables, and how a file of an older Towpath gets them. A migration that was released is never changed.

Task runs come by the million, so each is one row that is written once if it ends soon: clustered by flow run, process
and call, hence always appended; its states are one text, a JSON array a line. Flow runs are few; their states are rows,
because several processes may add to them.
"""

from __future__ import annotations

from typing import Final

#: `PRAGMA application_id`: says that a SQLite file is ours ("Tow1").
APPLICATION_ID: Final = 0x546F7731

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE processes (
            token INTEGER PRIMARY KEY,      -- the byte that it holds a lock on while it is alive
            pid INTEGER NOT NULL,
            host TEXT NOT NULL,
            towpath TEXT NOT NULL,
            began REAL NOT NULL,
            seen REAL NOT NULL              -- when it last wrote, give or take a second
        )""",  # deleted when its runs have been seen to after its end
        """CREATE TABLE flow_runs (
            number INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of beginning, whatever clocks say
            id TEXT NOT NULL UNIQUE,
            name TEXT NOT NULL,
            flow TEXT NOT NULL,
            flow_version TEXT,
            parent_id TEXT,
            root_id TEXT NOT NULL,
            depth INTEGER NOT NULL,
            deployment TEXT,
            parameters TEXT NOT NULL,       -- JSON object
            parameters_whole INTEGER NOT NULL,
            tags TEXT NOT NULL,             -- JSON array
            attempt INTEGER NOT NULL,
            run_count INTEGER NOT NULL,
            state_type TEXT NOT NULL,
            state_name TEXT NOT NULL,
            state_message TEXT,
            state_since REAL NOT NULL,
            created REAL NOT NULL,
            started REAL,
            ended REAL,
            seconds REAL,
            tasks_total INTEGER NOT NULL,
            tasks_completed INTEGER NOT NULL,
            tasks_failed INTEGER NOT NULL,
            process INTEGER                 -- who works on it; null if nobody does
        )""",
        "CREATE INDEX flow_runs_by_name ON flow_runs (name)",
        "CREATE INDEX flow_runs_by_flow ON flow_runs (flow, number)",
        "CREATE INDEX flow_runs_by_root ON flow_runs (root_id)",
        "CREATE INDEX flow_runs_by_parent ON flow_runs (parent_id) WHERE parent_id IS NOT NULL",
        "CREATE INDEX flow_runs_by_process ON flow_runs (process) WHERE process IS NOT NULL",
        """CREATE TABLE flow_run_states (
            number INTEGER PRIMARY KEY,
            run_id TEXT NOT NULL,
            type TEXT NOT NULL,
            name TEXT NOT NULL,
            message TEXT,
            since REAL NOT NULL
        )""",
        "CREATE INDEX flow_run_states_by_run ON flow_run_states (run_id)",
        """CREATE TABLE task_runs (
            run_id TEXT NOT NULL,           -- empty outside of any flow run
            process INTEGER NOT NULL,
            number INTEGER NOT NULL,        -- the order of beginning in the process
            id TEXT NOT NULL,
            task TEXT NOT NULL,
            name TEXT NOT NULL,
            tags TEXT,                      -- JSON array; null for none
            run_count INTEGER NOT NULL,
            state_type TEXT NOT NULL,
            states TEXT NOT NULL,           -- [type, name, message, since], a line each
            started REAL,
            ended REAL,
            seconds REAL,
            PRIMARY KEY (run_id, process, number)
        ) WITHOUT ROWID""",
        "CREATE INDEX task_runs_not_ended ON task_runs (process) WHERE ended IS NULL",
        """CREATE TABLE lines (
            number INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice, so that a log can be followed
            run_id TEXT NOT NULL,
            task_run TEXT,
            level INTEGER NOT NULL,
            message TEXT NOT NULL,
            time REAL NOT NULL
        )""",
        "CREATE INDEX lines_by_run ON lines (run_id, number)",
    ),
    (  # deployments that are served on this machine, and the runs that are asked of them
        """CREATE TABLE deployments (
            key TEXT PRIMARY KEY,           -- flow/name
            flow TEXT NOT NULL,
            name TEXT NOT NULL,
            description TEXT,
            version TEXT,
            parameters TEXT NOT NULL,       -- JSON object
            tags TEXT NOT NULL,             -- JSON array
            schedules TEXT NOT NULL,        -- JSON array of objects: key, says, active
            is_paused INTEGER NOT NULL,     -- whether its schedules make no runs; 2: until it is served again
            server INTEGER NOT NULL,        -- token of the process that serves it, or did last; 0: stopped
            served REAL NOT NULL            -- since when; or, if it was stopped in order, until when
        ) WITHOUT ROWID""",
        """CREATE TABLE schedule_marks (
            deployment TEXT NOT NULL,
            schedule TEXT NOT NULL,
            upto REAL NOT NULL,             -- what was due by then has become orders, or was left out for good
            PRIMARY KEY (deployment, schedule)
        ) WITHOUT ROWID""",
        """CREATE TABLE orders (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            run_id TEXT NOT NULL UNIQUE,    -- the flow run that it is for
            deployment TEXT NOT NULL,
            identity TEXT NOT NULL,         -- the same for the same schedule and time, key, or call of a parent
            made_in TEXT NOT NULL,          -- the try of the parent that made it; empty without one
            due REAL NOT NULL,
            given_name TEXT,
            parent_name TEXT,
            outlives_parent INTEGER NOT NULL,
            server INTEGER,                 -- token of the process that sees to it; null while it waits
            process INTEGER,                -- token of the process that took it, which can be one only
            pid INTEGER,
            cancel_wanted REAL,
            outcome TEXT,                   -- JSON like a FlowRun's status: state, result, error; null until the end
            UNIQUE (deployment, identity)
        )""",
        "CREATE INDEX orders_open ON orders (due) WHERE outcome IS NULL",
        """CREATE TRIGGER orders_go_with_their_run AFTER DELETE ON flow_runs
            BEGIN DELETE FROM orders WHERE run_id = OLD.id; END""",
    ),
    (  # what a served flow takes, so that a text is read by it where it is typed
        "ALTER TABLE deployments ADD COLUMN parameter_schema TEXT",  # JSON object; null if an older Towpath serves it
    ),
    (  # what runs tell beside states and log lines, and variables
        """CREATE TABLE artifacts (
            number INTEGER PRIMARY KEY AUTOINCREMENT,  -- of two with the same key, the later version has the greater
            id TEXT NOT NULL UNIQUE,
            key TEXT,
            type TEXT NOT NULL,
            description TEXT,
            data TEXT NOT NULL,             -- as it was told: markdown, a URL, a number, a table as JSON
            run_id TEXT,                    -- null outside of any
            task_run_id TEXT,
            task_run TEXT,                  -- its name
            created REAL NOT NULL,
            updated REAL NOT NULL
        )""",
        "CREATE INDEX artifacts_by_key ON artifacts (key) WHERE key IS NOT NULL",
        "CREATE INDEX artifacts_by_run ON artifacts (run_id) WHERE run_id IS NOT NULL",
        """CREATE TABLE events (
            number INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice, so that events can be followed
            id TEXT NOT NULL UNIQUE,
            event TEXT NOT NULL,
            resource TEXT NOT NULL,         -- JSON object
            related TEXT,                   -- JSON array of objects; null for none
            payload TEXT,                   -- JSON object; null for none
            follows TEXT,
            run_id TEXT,
            task_run_id TEXT,
            task_run TEXT,
            occurred REAL NOT NULL
        )""",
        "CREATE INDEX events_by_time ON events (occurred)",
        "CREATE INDEX events_by_run ON events (run_id) WHERE run_id IS NOT NULL",
        """CREATE TRIGGER events_stay_few AFTER INSERT ON events WHEN NEW.number % 1000 = 0
            BEGIN DELETE FROM events WHERE number <= NEW.number - 100000; END""",
        """CREATE TRIGGER artifacts_and_events_go_with_their_run AFTER DELETE ON flow_runs BEGIN
            DELETE FROM artifacts WHERE run_id = OLD.id;
            DELETE FROM events WHERE run_id = OLD.id;
        END""",
        """CREATE TABLE variables (
            name TEXT PRIMARY KEY,
            value TEXT NOT NULL,            -- JSON
            tags TEXT NOT NULL,             -- JSON array
            created REAL NOT NULL,
            updated REAL NOT NULL
        ) WITHOUT ROWID""",
    ),
    (  # runs that wait for somebody, what runs tell each other, and where another process finds a run's flow
        "ALTER TABLE flow_runs ADD COLUMN origin TEXT",  # see `towpath.origins`; null: no other process could run it
        "ALTER TABLE orders ADD COLUMN suspended REAL",
        """CREATE TABLE pauses (
            number INTEGER PRIMARY KEY,
            run_id TEXT NOT NULL,           -- the flow run that waits
            identity TEXT NOT NULL,         -- what stays the same of it when it is tried again
            key TEXT NOT NULL,              -- which of the run's pauses it is
            is_suspension INTEGER NOT NULL, -- whether its process ends meanwhile
            wanted TEXT,                    -- JSON Schema of the input; null for none
            description TEXT,
            since REAL NOT NULL,
            until REAL,                     -- null: for as long as it takes
            refused TEXT,                   -- why the last input was not taken
            answer TEXT,                    -- JSON
            answered REAL,                  -- null while it waits
            UNIQUE (identity, key)
        )""",
        "CREATE INDEX pauses_open ON pauses (run_id) WHERE answered IS NULL",
        """CREATE TABLE pause_wishes (
            run_id TEXT PRIMARY KEY,        -- a flow run that is to wait at its next call of a task or flow
            is_suspension INTEGER NOT NULL,
            wanted REAL NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE messages (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL,
            receiver TEXT NOT NULL,         -- id of a flow run
            prefix TEXT NOT NULL,           -- what kind of input it is
            sender TEXT,
            value TEXT NOT NULL,            -- JSON
            sent REAL NOT NULL
        )""",
        "CREATE INDEX messages_by_receiver ON messages (receiver, number)",
        """CREATE TRIGGER pauses_and_messages_go_with_their_run AFTER DELETE ON flow_runs BEGIN
            DELETE FROM pauses WHERE run_id = OLD.id;
            DELETE FROM pause_wishes WHERE run_id = OLD.id;
            DELETE FROM messages WHERE receiver = OLD.id;
        END""",
    ),
    (  # limits of what may go on at once on this machine, and who has or wants slots of them
        """CREATE TABLE limits (
            name TEXT PRIMARY KEY,
            slots INTEGER NOT NULL,
            decay REAL NOT NULL,            -- slots that come free by themselves in a second; 0: they are given back
            is_active INTEGER NOT NULL,
            level REAL NOT NULL,            -- of one that decays: slots that were taken and had not come free `at`
            at REAL NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE slot_claims (
            number INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of the queue
            process INTEGER NOT NULL,       -- token of the process that it belongs to, and that it goes with
            pid INTEGER NOT NULL,
            names TEXT NOT NULL,            -- JSON array: the limits
            occupy INTEGER NOT NULL,        -- slots of each
            is_task INTEGER NOT NULL,       -- whether a task run has it for its tags
            within TEXT NOT NULL,           -- JSON array: numbers of the claims that the code round it holds
            run_id TEXT,
            run TEXT,
            task_run TEXT,
            asked REAL NOT NULL,
            held REAL                       -- since when it has its slots; null while it waits
        )""",
    ),
    (  # runs that somebody wants to end, while they go on in a process that no server has started
        """CREATE TABLE end_wishes (
            run_id TEXT PRIMARY KEY,
            process INTEGER NOT NULL,       -- token of the process that is to end it: not one that tries it again
            wanted REAL NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TRIGGER end_wishes_go_with_their_run AFTER DELETE ON flow_runs BEGIN
            DELETE FROM end_wishes WHERE run_id = OLD.id;
        END""",
    ),
)
