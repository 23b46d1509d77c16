//! What happens at Redis. Each script touches the keys of one slot and takes effect as a whole.
//!
//! Scripts run by their hash, and whole when Redis does not know them: it forgets scripts when it restarts.

use redis::{Cmd, cmd};
use std::sync::{Arc, LazyLock};

/// A script and its hash.
pub(crate) struct Script {
    text: &'static str,
    hash: LazyLock<String>,
}

macro_rules! script {
    ($(#[$doc:meta])* $name:ident, $text:literal) => {
        $(#[$doc])*
        pub(crate) static $name: Script = Script {
            text: $text,
            hash: LazyLock::new(|| redis::Script::new($text).get_hash().to_owned()),
        };
    };
}

script!(
    /// Adds an entry, and drops what is too old or too much by Redis' own clock.
    ///
    /// Keys: entries, meta. Arguments: milliseconds to keep, entries to keep, name of the payload's form, payload.
    /// The stream as a whole ends when nothing was added for twice the time of keeping, so that a bus that is no
    /// longer used leaves little behind.
    ADD,
    "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local number = redis.call('HINCRBY', KEYS[2], 'number', 1)
local id = redis.call('XADD', KEYS[1], 'MINID', '~', math.max(now - ARGV[1], 0), '*', 'n', number, ARGV[3], ARGV[4])
redis.call('HSET', KEYS[2], 'last', id)
if number % 64 == 0 then redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[2]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1] * 2)
return id"
);

script!(
    /// Takes a partition that nobody holds.
    ///
    /// Keys: lease, state, meta. Arguments: who, milliseconds. Answers 0, or 1, the fencing token, the acknowledged
    /// position, and number and id of the partition's last entry. One who holds it already has lost an answer: it
    /// gets another token.
    ACQUIRE,
    "local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {0} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local fence = redis.call('HINCRBY', KEYS[2], 'fence', 1)
local acked = redis.call('HGET', KEYS[2], 'acked')
local meta = redis.call('HMGET', KEYS[3], 'number', 'last')
return {1, fence, acked or '', tonumber(meta[1] or 0), meta[2] or ''}"
);

script!(
    /// Keeps a partition for longer and moves its position.
    ///
    /// Keys: lease, state, meta. Arguments: who, milliseconds, fencing token, position or nothing. Answers 0 when
    /// another has or had it since, else 1 and number and id of the last entry. A lease that ended while nobody took
    /// the partition goes on: the token says so.
    KEEP,
    "local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {0} end
if redis.call('HGET', KEYS[2], 'fence') ~= ARGV[3] then return {0} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[2], 'acked', ARGV[4]) end
local meta = redis.call('HMGET', KEYS[3], 'number', 'last')
return {1, tonumber(meta[1] or 0), meta[2] or ''}"
);

script!(
    /// Gives a partition back, with its last position.
    ///
    /// Keys: lease, state. Arguments: who, fencing token, position or nothing.
    RELEASE,
    "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call('HGET', KEYS[2], 'fence') ~= ARGV[2] then return 0 end
if ARGV[3] ~= '' then redis.call('HSET', KEYS[2], 'acked', ARGV[3]) end
redis.call('DEL', KEYS[1])
return 1"
);

script!(
    /// A replica's sign of life.
    ///
    /// Keys: members, lives. Arguments: who, or nothing the first time; the replica's name; milliseconds after which
    /// silence is absence. Answers who it is, Redis' time in milliseconds, and all who are there.
    BEAT,
    "local who = ARGV[1]
if who == '' then who = ARGV[2] .. '#' .. redis.call('INCR', KEYS[2]) end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, who)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now - ARGV[3]))
return {who, now, redis.call('ZRANGE', KEYS[1], 0, -1)}"
);

/// One thing to do.
pub(crate) enum Call {
    /// A script with its keys and arguments.
    Script {
        script: &'static Script,
        keys: Vec<Arc<str>>,
        arguments: Vec<Vec<u8>>,
    },
    /// A command.
    Command(Cmd),
}

impl Script {
    /// A call of this script.
    pub(crate) fn call<const K: usize, const A: usize>(
        &'static self,
        keys: [&Arc<str>; K],
        arguments: [Vec<u8>; A],
    ) -> Call {
        Call::Script {
            script: self,
            keys: keys.map(Arc::clone).into(),
            arguments: arguments.into(),
        }
    }
}

impl Call {
    /// The command that does it; `is_whole` sends the text of a script in the place of its hash.
    pub(crate) fn command(&self, is_whole: bool) -> Cmd {
        match self {
            Call::Command(command) => command.clone(),
            Call::Script {
                script,
                keys,
                arguments,
            } => {
                let mut command = if is_whole {
                    let mut command = cmd("EVAL");
                    command.arg(script.text);
                    command
                } else {
                    let mut command = cmd("EVALSHA");
                    command.arg(script.hash.as_str());
                    command
                };
                command.arg(keys.len());
                for key in keys {
                    command.arg(key.as_bytes());
                }
                for argument in arguments {
                    command.arg(argument.as_slice());
                }
                command
            }
        }
    }
}

/// An argument in decimal digits.
pub(crate) fn digits(number: impl ToString) -> Vec<u8> {
    number.to_string().into_bytes()
}
