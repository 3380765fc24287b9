"""Solo recordings made from MIDI files, SoundFonts and speech; reached through entry points."""
