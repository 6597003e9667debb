"""Who may do what on the lab: realms, users, groups, roles, ACLs, tokens, tickets."""
