"""`python -m genregenie`, whose discord.py waits a tenth of a second after the last server, as our own clients do.

Discord sends servers one after the other, and discord.py takes two seconds without a new one for their end; the
Discord on loopback sends all of them at once, and each start of a bot would wait for nothing.
"""

from functools import partialmethod

from discord.state import ConnectionState

from genregenie import main

ConnectionState.__init__ = partialmethod(ConnectionState.__init__, guild_ready_timeout=0.1)  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
