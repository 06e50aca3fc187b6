-- When a line was made, by the clock in Shanghai (HH:MM:SS): what rules that look for partners
-- near in time go by.
ALTER TABLE break_cases ADD COLUMN clock TEXT NOT NULL DEFAULT '';

-- What an institution settles apart from the net credit: fees that it bills, refunds that it debits.
ALTER TABLE settlements ADD COLUMN apart BIGINT NOT NULL DEFAULT 0;
