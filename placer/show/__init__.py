"""Pictures of fleets, domains and plans for the terminal, and what several screens say; `hosts`: one in every form."""
